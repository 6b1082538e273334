"""XMP, as far as it says how a picture was made: written into a packet of our own or into one that is there; read.

Sources: ISO 16684-1 (XMP part 1) for the packet; the IPTC Photo Metadata Standard 2025.1 for DigitalSourceType,
AISystemUsed and AIPromptInformation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from xml.parsers import expat
from xml.sax.saxutils import escape

from wan_cli.pattern import pattern

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for what a trained model made (cv.iptc.org/newscodes/digitalsourcetype)."""
MOST_XMP = 4 * 1024 * 1024
MOST_VALUE = 1024 * 1024
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:wan:imprint:1#"
_NAMES = {
    f"{_OWN} imprint": "imprint",
    f"{_IPTC} DigitalSourceType": "digital_source_type",
    f"{_IPTC} AISystemUsed": "system",
    f"{_IPTC} AIPromptInformation": "prompt",
    "http://purl.org/dc/terms/ provenance": "provenance",
}
_SPELLED = {"digital_source_type": "DigitalSourceType", "system": "AISystemUsed", "prompt": "AIPromptInformation"}
_NO_XML = pattern("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ABOUT = pattern(rb"""<rdf:Description\b[^<>]*?\srdf:about\s*=\s*("[^"<>]*"|'[^'<>]*')""")
_END = pattern(rb"</rdf:RDF\s*>")
_OURS = pattern(rb'<rdf:Description [^<>]*xmlns:wan="urn:wan:imprint:1#".*?</rdf:Description>', re.DOTALL)


def values(packet: bytes) -> dict[str, str]:
    """Return what a packet says of the making: any of ``_NAMES``' values. A broken packet says what it said before."""
    found: dict[str, str] = {}
    if len(packet) > MOST_XMP:
        return found
    open_names: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def start(name: str, attributes: Mapping[str, str]) -> None:
        open_names.append(_NAMES.get(name, ""))
        for attribute, value in attributes.items():
            if known := _NAMES.get(attribute):
                found.setdefault(known, value[:MOST_VALUE])
        if open_names[-1] and (resource := attributes.get(f"{_RDF} resource")):
            found.setdefault(open_names[-1], resource[:MOST_VALUE])

    def text(data: str) -> None:
        if open_names and open_names[-1] and len(found.get(open_names[-1], "")) < MOST_VALUE:
            found[open_names[-1]] = (found.get(open_names[-1], "") + data)[:MOST_VALUE]

    def refuse(*_: object) -> None:
        msg = "entities can stand for gigabytes, and XMP has none"
        raise ValueError(msg)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_names.pop()
    parser.CharacterDataHandler = text
    with suppress(expat.ExpatError, ValueError):
        parser.Parse(packet.rstrip(b"\0"), True)  # noqa: FBT003 - expat's own signature
    return {name: value.strip() for name, value in found.items() if value.strip()}


def packet(said: Mapping[str, str]) -> bytes:
    """Return a packet that says this; the names are those of :func:`values`."""
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        b'<rdf:RDF xmlns:rdf="%s">\n%s\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ) % (_RDF.encode(), _description(said, b'""'))


def merged(there: bytes, said: Mapping[str, str]) -> bytes:
    """Return a packet that is there with this added; what it says already stays as it is said.

    Raises ``ValueError`` where it is not written as XMP usually is.
    """
    there = _OURS.sub(b"", there)
    ends = list(_END.finditer(there))
    if len(ends) != 1 or there[:2] in (b"\xff\xfe", b"\xfe\xff") or _RDF.encode() not in there:
        msg = "it has XMP that nothing can be added to"
        raise ValueError(msg)
    known = values(there)
    fresh = {name: value for name, value in said.items() if name not in known or name == "imprint"}
    about = _ABOUT.search(there)
    at = ends[0].start()
    found = there[:at] + _description(fresh, about[1] if about else b'""') + b"\n" + there[at:]
    if values(found).get("imprint") != values(packet(said)).get("imprint"):
        msg = "it has XMP that nothing can be added to"
        raise ValueError(msg)
    return found


def _description(said: Mapping[str, str], about: bytes) -> bytes:
    rows = [f" <wan:imprint>{_text(said['imprint'])}</wan:imprint>"] if "imprint" in said else []
    rows += [
        f" <Iptc4xmpExt:{tag}>{_text(said[name])}</Iptc4xmpExt:{tag}>" for name, tag in _SPELLED.items() if name in said
    ]
    inner = "\n".join(rows)
    return (b'<rdf:Description rdf:about=%s xmlns:wan="%s" xmlns:Iptc4xmpExt="%s">\n%s\n</rdf:Description>') % (
        about,
        _OWN.encode(),
        _IPTC.encode(),
        inner.encode(),
    )


def _text(value: str) -> str:
    return escape(_NO_XML.sub("\ufffd", value), {"\r": "&#13;"})
