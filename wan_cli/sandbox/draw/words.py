# ruff: noqa: RUF001 - the Cyrillic letters are meant
"""Read a prompt: which scene, subject, light, season, weather, colours and styles its words ask for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from .palette import NAMED_COLOURS, RGB

SCENES = ("ridges", "city", "sea", "forest", "orbs", "tiles", "desk", "meadow")


def _words(english: str, chinese: str = "", russian: str = "") -> re.Pattern[str]:
    """One pattern from space-separated lists: English words, Chinese fragments, Russian stems."""
    parts = [rf"\b(?:{'|'.join(english.split())})(?:s|es)?\b"]
    if chinese:
        parts.append("|".join(chinese.split()))
    if russian:
        parts.append(rf"\b(?:{'|'.join(russian.split())})\w*")
    return re.compile("|".join(parts))


# The order breaks ties: a room with a view of the sea is a room.
_SCENES = {
    "tiles": _words(
        "bauhaus geometric pattern mosaic tile abstract poster grid cubist logo seamless",
        "几何 图案 马赛克 瓷砖 抽象 海报",
        "геометр узор мозаик абстракт плакат",
    ),
    "desk": _words(
        "desk table room window cafe café coffee teacup cup book indoor interior kitchen shelf lamp vase origami",
        "桌 窗 咖啡 室内 房间 书 茶 折纸 杯",
        "стол окн окон кафе комнат книг чашк оригами интерьер",
    ),
    "orbs": _words(
        "planet galaxy galaxies space cosmos cosmic orb sphere nebula universe asteroid saturn jupiter mars star",
        "星 宇宙 银河 太空 行星",
        "космос космич планет галактик звезд звёзд шар туманност",
    ),
    "city": _words(
        "city cities street skyline building tower skyscraper downtown urban town cyberpunk tokyo shanghai york bridge",
        "城市 城 街 楼 都市 东京 上海 北京",
        "город улиц небоскр башн киберпанк",
    ),
    "sea": _words(
        "sea ocean beach coast wave lake harbor harbour sail boat ship island lighthouse shore river water whale",
        "海 洋 湖 沙滩 浪 船 岛 河",
        "море моря морск океан пляж озер озёр волн корабл лодк остров рек",
    ),
    "forest": _words(
        "forest wood woods tree pine jungle woodland birch grove fir maple bamboo",
        "森林 树 林 竹",
        "лес дерев роща сосн ёлк елк тайг берёз",
    ),
    "ridges": _words(
        "mountain ridge valley hill peak alp summit canyon cliff desert dune landscape volcano glacier fjord",
        "山 峰 谷 沙漠 丘 火山",
        "гор(?!од) вершин долин холм пустын скал вулкан пейзаж",
    ),
    "meadow": _words(
        "meadow flower field garden grass tulip rose daisy sunflower poppy poppies lavender blossom prairie farm",
        "花 草 田 园 樱 玫瑰",
        "цвет(?!н) луг поле поля сад роз тюльпан ромашк",
    ),
}

_SUBJECTS = {
    "crane": _words("origami", "折纸 纸鹤 千纸鹤", "оригами"),
    "fox": _words("fox foxes", "狐", "лис"),
    "cat": _words("cat kitten kitty ragdoll", "猫", "кот кошк котён"),
    "owl": _words("owl", "猫头鹰 鸮", "сов(?:а|ы|у|ой|ёнок)"),
    "bear": _words("bear panda", "熊", "медвед"),
    "bird": _words("bird sparrow robin finch crane dove pigeon eagle", "鸟 鹤 雀 鸽", "птиц птич воробе голуб журавл"),
    "fish": _words("fish goldfish koi salmon", "鱼", "рыб"),
}
_PAPER_CRANE = re.compile(r"\bpaper[- ]+(?:\w+ )?(?:crane|bird)|纸鹤|折纸|бумажн\w+ (?:журавл|птиц)")
# Owls are "cat-headed eagles" in Chinese and 熊猫 is a panda: a longer word hides the cat inside it.
_NOT_A_CAT = re.compile("猫头鹰|熊猫")
_HOME = {
    "crane": "desk",
    "fox": "forest",
    "cat": "desk",
    "owl": "forest",
    "bear": "ridges",
    "bird": "meadow",
    "fish": "sea",
}

_LIGHTS = {
    "neon": _words("neon cyberpunk synthwave vaporwave retrowave", "霓虹 赛博", "неон киберпанк"),
    "dawn": _words("dawn sunrise morning daybreak", "晨 早 日出 黎明", "рассвет утр"),
    "sunset": _words("sunset dusk evening twilight golden", "日落 黄昏 傍晚 夕", "закат вечер сумер"),
    "night": _words("night midnight moon moonlight moonlit starry dark stars", "夜 月 星空", "ноч лун звёздн звездн"),
    "day": _words(
        "day noon sunny daylight bright sunlight calm summer", "白天 正午 阳光 晴", "днём днем день солнеч полдень"
    ),
}
_SEASONS = {
    "winter": _words("snow snowy winter ice icy frozen frost", "雪 冬 冰", "снег снеж зим лед лёд мороз"),
    "autumn": _words("autumn fall autumnal october maple", "秋", "осен"),
    "spring": _words("spring blossom sakura cherry", "春 樱", "весн весен сакур"),
}
_WEATHER = {
    "fog": _words("fog foggy mist misty haze hazy smoke", "雾", "туман дымк"),
    "rain": _words("rain rainy storm stormy drizzle", "雨", "дожд ливень гроз"),
}
_STYLES = {
    "watercolor": _words("watercolor watercolour aquarelle gouache", "水彩", "акварел"),
    "mono": _words(
        "monochrome noir grayscale greyscale charcoal sketch ink", "黑白 水墨", "чёрно-бел черно-бел монохром"
    ),
    "pixel": _words("pixel 8-bit 16-bit", "像素", "пиксел"),
}
_THINGS = {
    "cup": _words("cup coffee tea mug cafe café teacup latte", "咖啡 茶 杯", "кофе кафе чай чашк"),
    "book": _words("book notebook library", "书", "книг"),
    "vase": _words("vase flower bouquet tulip rose", "花", "цвет(?!н) ваз букет"),
    "boat": _words("boat ship sail sailboat", "船 帆", "лодк корабл парус"),
    "ragdoll": _words("ragdoll siamese", "布偶 暹罗"),
    "poppy": _words("poppy poppies", "罂粟", "мак(?:и|ов|ами)"),
    "desert": _words("desert dune sahara", "沙漠", "пустын дюн"),
}
_COLOURS = {
    name: _words(*words)
    for name, words in {
        "red": ("red crimson scarlet ruby", "红", "красн алый ал(?:ая|ое|ые)"),
        "orange": ("orange amber copper", "橙", "оранжев"),
        "yellow": ("yellow gold lemon", "黄 金", "жёлт желт золот"),
        "green": ("green emerald jade olive", "绿 翠", "зелён зелен"),
        "teal": ("teal turquoise cyan aqua", "青", "бирюз"),
        "blue": ("blue azure navy indigo", "蓝", "син голуб(?!ь|и)"),
        "purple": ("purple violet lilac lavender magenta", "紫", "фиолет пурпур сирен"),
        "pink": ("pink rose coral", "粉", "розов"),
        "white": ("white ivory", "白色 白", "бел(?:ый|ая|ое|ые|ого|ой)"),
        "black": ("black ebony", "黑", "чёрн черн"),
        "brown": ("brown chocolate", "棕 褐", "коричнев"),
        "grey": ("gray grey silver", "灰 银", "сер(?:ый|ая|ое|ые) серебр"),
    }.items()
}


@dataclass(frozen=True)
class Brief:
    """What a prompt asks for, every field taken from the small closed lists of this module."""

    scene: str
    subject: str | None
    subject_colour: RGB | None
    light: str | None
    season: str | None
    weather: tuple[str, ...]
    tints: tuple[RGB, ...]
    styles: tuple[str, ...]
    things: tuple[str, ...]

    def at(self, light: str, season: str | None) -> Brief:
        """Return the same brief under another light and season, as a later frame of a sequence needs it."""
        return replace(self, light=light, season=season)


def read(prompt: str) -> Brief:
    """Return the brief of `prompt` (any text, any length); the same text always gives the same brief."""
    text = " ".join(prompt[:4000].lower().split())
    subject = _subject(text)
    coat, tints = _colours(text, subject)
    return Brief(
        scene=_scene(text, subject),
        subject=subject,
        subject_colour=coat,
        light=_first(_LIGHTS, text),
        season=_first(_SEASONS, text),
        weather=_all(_WEATHER, text),
        tints=tints,
        styles=_all(_STYLES, text),
        things=_all(_THINGS, text),
    )


def _first(patterns: dict[str, re.Pattern[str]], text: str) -> str | None:
    return next((name for name, pattern in patterns.items() if pattern.search(text)), None)


def _all(patterns: dict[str, re.Pattern[str]], text: str) -> tuple[str, ...]:
    return tuple(name for name, pattern in patterns.items() if pattern.search(text))


def _subject(text: str) -> str | None:
    if _PAPER_CRANE.search(text):
        return "crane"
    if _SUBJECTS["owl"].search(text):
        return "owl"
    return _first(_SUBJECTS, _NOT_A_CAT.sub("熊", text))


def _scene(text: str, subject: str | None) -> str:
    counts = {name: len(set(pattern.findall(text))) for name, pattern in _SCENES.items()}
    best = max(counts, key=lambda name: counts[name])
    if counts[best]:
        return best
    if subject is not None:
        return _HOME[subject]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return SCENES[digest[0] % len(SCENES)]


def _colours(text: str, subject: str | None) -> tuple[RGB | None, tuple[RGB, ...]]:
    """Colour of the subject ("a red fox") and the colours meant for the whole picture."""
    found = sorted(
        (match.start(), match.end(), name)
        for name, pattern in _COLOURS.items()
        if (match := pattern.search(text)) is not None
    )
    coat: RGB | None = None
    tints: list[RGB] = []
    for _, end, name in found:
        # A colour belongs to the animal when its name follows within one word.
        ahead = text[end : end + 24]
        near = subject is not None and _names_subject(subject, ahead)
        if near and coat is None:
            coat = NAMED_COLOURS[name]
        else:
            tints.append(NAMED_COLOURS[name])
    return coat, tuple(tints[:2])


def _names_subject(subject: str, ahead: str) -> bool:
    window = " ".join(ahead.split()[:2])
    pattern = _PAPER_CRANE if subject == "crane" else _SUBJECTS[subject]
    return bool(pattern.search(window)) or (subject == "crane" and "crane" in window)
