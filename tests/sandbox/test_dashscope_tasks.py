"""DashScope's tasks and uploads: one by its id, all of the last day, taken back; policies and forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support_dashscope import ASYNC, START, UUID, Sandbox, invalid, png, refused

from wan_cli.sandbox.transport import results

if TYPE_CHECKING:
    from pathlib import Path

CANNOT = "Failed to cancel the task, please confirm if the task is in PENDING status."


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def cancelled(sandbox: Sandbox, task_id: str) -> httpx.Response:
    """Ask to take a task back."""
    return sandbox.send("POST", f"/tasks/{task_id}/cancel")


def test_unknown_tasks(sandbox: Sandbox) -> None:
    """An id that never was is UNKNOWN under 200; so is another provider's, and what was answered at once."""
    sandbox.draw()
    at_once = sandbox.world.purchases()[0]["task_id"]
    for task_id in ("nobody", at_once, "x" * 300):
        assert sandbox.task(task_id) == {"output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        refused(cancelled(sandbox, task_id), 400, "UnsupportedOperation", CANNOT)


def test_a_task_is_known_for_a_day(sandbox: Sandbox) -> None:
    """24 hours after its end a task is UNKNOWN, and no longer listed."""
    task_id = sandbox.begun(sandbox.film())
    sandbox.now += 4 + 86400
    assert sandbox.task(task_id)["output"]["task_status"] == "SUCCEEDED"
    sandbox.now += 1
    assert sandbox.task(task_id)["output"]["task_status"] == "UNKNOWN"
    assert sandbox.send("GET", "/tasks").json()["total"] == 0


def test_cancel(sandbox: Sandbox) -> None:
    """A PENDING task is taken back: the request id comes, and CANCELED it stays; a second time is refused."""
    task_id = sandbox.begun(sandbox.film())
    response = cancelled(sandbox, task_id)
    assert (response.status_code, set(response.json())) == (200, {"request_id"})
    sandbox.now += 100
    output = sandbox.task(task_id)["output"]
    assert output == {
        "task_id": task_id, "task_status": "CANCELED", "submit_time": "2026-07-14 16:43:28.681",
        "end_time": "2026-07-14 16:43:28.681",
    }  # fmt: skip
    refused(cancelled(sandbox, task_id), 400, "UnsupportedOperation", CANNOT)


@pytest.mark.parametrize("age", [1, 3.9, 4, 500])
def test_too_late_to_cancel(sandbox: Sandbox, age: float) -> None:
    """A task that runs or has ended is not taken back, and ends as it would have."""
    task_id = sandbox.begun(sandbox.draw(path=ASYNC))
    sandbox.now += age
    refused(cancelled(sandbox, task_id), 400, "UnsupportedOperation", CANNOT)
    sandbox.now += 4
    assert sandbox.task(task_id)["output"]["task_status"] == "SUCCEEDED"


def listed(sandbox: Sandbox, **query: Any) -> dict[str, Any]:
    """Return a page of the list."""
    response = sandbox.send("GET", "/tasks", params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def test_a_line_of_the_list(sandbox: Sandbox) -> None:
    """A task's line has the documented fields: times in milliseconds, the request that ordered it, its model."""
    response = sandbox.film()
    page = listed(sandbox)
    (line,) = page.pop("data")
    assert UUID.fullmatch(page.pop("request_id"))
    assert page == {"page_no": 1, "page_size": 10, "total": 1, "total_page": 1}
    pending = {
        "api_key_id", "caller_parent_id", "caller_uid", "gmt_create", "model_name", "region", "request_id", "status",
        "task_id", "user_api_unique_key",
    }  # fmt: skip
    assert set(line) == pending
    assert (line["task_id"], line["request_id"]) == (sandbox.begun(response), response.json()["request_id"])
    assert (line["gmt_create"], line["status"], line["model_name"]) == (round(START * 1000), "PENDING", "wan2.7-t2v")
    assert line["user_api_unique_key"] == "apikey:v1:aigc:video-generation:video-synthesis:wan2.7-t2v"
    sandbox.now += 1
    (line,) = listed(sandbox)["data"]
    assert (set(line) - pending, line["start_time"]) == ({"start_time"}, round(START * 1000) + 1000)
    sandbox.now += 3
    (line,) = listed(sandbox)["data"]
    assert (line["status"], line["end_time"]) == ("SUCCEEDED", round(START * 1000) + 4000)


def test_filters(sandbox: Sandbox) -> None:
    """Status, model, id and times choose; what was answered at once is no task; newest comes first."""
    sandbox.draw()
    failed = sandbox.begun(sandbox.film(prompt="sandbox:fail"))
    sandbox.now += 60
    picture = sandbox.begun(sandbox.draw(path=ASYNC))
    taken_back = sandbox.begun(sandbox.film())
    cancelled(sandbox, taken_back)
    running = sandbox.begun(sandbox.film())
    sandbox.now += 2

    def found(**query: Any) -> list[str]:
        page = listed(sandbox, **query)
        assert page["total"] == len(page["data"])
        return [line["task_id"] for line in page["data"]]

    assert found() == [running, taken_back, picture, failed]
    assert found(status="FAILED") == [failed]
    assert found(status="CANCELED") == [taken_back]
    assert found(status="RUNNING") == [running, picture]
    assert found(status="UNKNOWN") == []
    assert found(model_name="wan2.7-image-pro") == [picture]
    assert found(task_id=failed) == [failed]
    assert found(start_time="20260714164400") == [running, taken_back, picture]
    assert found(end_time="20260714164400") == [failed]
    assert found(start_time="20260714164300", end_time="20260714164328") == []
    assert found(region="cn-beijing", api_key_id="150000") == found()
    assert found(region="us-east-1") == []


def test_pages(sandbox: Sandbox) -> None:
    """The list comes in pages of ten, or of as many as asked; both spellings of its path answer."""
    tasks = [sandbox.begun(sandbox.film()) for _ in range(12)][::-1]
    first, second = listed(sandbox), listed(sandbox, page_no=2)
    assert [line["task_id"] for line in first["data"] + second["data"]] == tasks
    assert (first["total"], first["total_page"], second["page_no"]) == (12, 2, 2)
    page = listed(sandbox, page_no=3, page_size=5)
    assert ([line["task_id"] for line in page["data"]], page["total_page"]) == (tasks[10:], 3)
    assert listed(sandbox, page_no=9)["data"] == []
    assert sandbox.send("GET", "/tasks/").json()["total"] == 12


@pytest.mark.parametrize(
    "query",
    [
        {"status": "DONE"}, {"status": "pending"}, {"page_no": "0"}, {"page_no": "x"}, {"page_size": "101"},
        {"page_size": "-1"}, {"start_time": "2026-07-14"}, {"end_time": "20261345000000"}, {"model": "wan2.7-t2v"},
        {"start_time": "2026071416440"}, {"start_time": "20260230000000"},
        {"start_time": "20260714000000", "end_time": "20260715000001"},
        {"start_time": "20260714000001", "end_time": "20260714000000"},
    ],
    ids=str,
)  # fmt: skip
def test_refused_lists(sandbox: Sandbox, query: dict[str, str]) -> None:
    """Unknown filters and statuses, pages that cannot be, and more than 24 hours are refused."""
    invalid(sandbox.send("GET", "/tasks", params=query))


# -- uploads


def test_the_policy(sandbox: Sandbox) -> None:
    """A policy has the documented fields, and says where a file goes."""
    policy = sandbox.policy()
    assert set(policy) == {
        "policy", "signature", "upload_dir", "upload_host", "expire_in_seconds", "max_file_size_mb",
        "capacity_limit_mb", "oss_access_key_id", "x_oss_object_acl", "x_oss_forbid_overwrite",
    }  # fmt: skip
    assert policy["upload_dir"].startswith("dashscope-instant/")
    assert "/2026-07-14/" in policy["upload_dir"]
    assert (policy["upload_host"], policy["x_oss_forbid_overwrite"]) == ("https://sandbox.invalid/oss", "true")
    assert sandbox.policy()["upload_dir"] != policy["upload_dir"]


@pytest.mark.parametrize(
    "query",
    [
        {}, {"action": "getPolicy"}, {"model": "wan2.7-i2v"}, {"action": "getpolicy", "model": "wan2.7-i2v"},
        {"action": "getPolicy", "model": "wan9"},
    ],
    ids=str,
)  # fmt: skip
def test_refused_policies(sandbox: Sandbox, query: dict[str, str]) -> None:
    """A policy needs its action and a model that there is."""
    invalid(sandbox.send("GET", "/uploads", params=query))


def test_forms(sandbox: Sandbox) -> None:
    """The documented form is taken in any order but for its last field; 204 comes where 200 is not asked for."""
    fields = sandbox.form(sandbox.policy())
    response = sandbox.post(dict(reversed(fields.items())), png(300, 300))
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["etag"]
    fields = sandbox.form(sandbox.policy(), "猫 1.png")
    del fields["success_action_status"]
    fields |= {"x-oss-content-type": "image/png", "x-oss-meta-origin": "here"}
    assert sandbox.post(fields, b"x", url="https://sandbox.invalid/oss/").status_code == 204


def oss(response: httpx.Response, status: int, code: str, words: str = "") -> None:
    """Check a refusal of the object store, which is XML."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/xml"
    assert f"<Code>{code}</Code>" in response.text
    assert words in response.text


@pytest.mark.parametrize(
    ("changes", "status", "code", "words"),
    [
        ({"OSSAccessKeyId": "LTAI"}, 403, "InvalidAccessKeyId", ""),
        ({"Signature": "x"}, 403, "SignatureDoesNotMatch", ""),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch", ""),
        ({"key": "elsewhere/a.png"}, 403, "AccessDenied", "Policy Condition failed"),
        ({"x-oss-object-acl": "public-read"}, 403, "AccessDenied", "Policy Condition failed"),
        ({"x-oss-forbid-overwrite": "false"}, 403, "AccessDenied", "Policy Condition failed"),
        ({"model": "wan2.7-i2v"}, 400, "InvalidArgument", "model"),
        ({"Authorization": "Bearer x"}, 400, "InvalidArgument", "Authorization"),
    ],
)
def test_refused_forms(sandbox: Sandbox, changes: dict[str, str], status: int, code: str, words: str) -> None:
    """What the policy does not allow, is not signed, or is no field of the form is refused in the store's XML."""
    oss(sandbox.post(sandbox.form(sandbox.policy()) | changes, b"x"), status, code, words)


def test_incomplete_forms(sandbox: Sandbox) -> None:
    """Each field that the page requires is missed, and the folder alone is no key."""
    policy = sandbox.policy()
    for name in sandbox.form(policy):
        fields = sandbox.form(policy)
        del fields[name]
        if name != "success_action_status":
            oss(sandbox.post(fields, b"x"), 400, "InvalidArgument", name)
    for key in (policy["upload_dir"], f"{policy['upload_dir']}/", f"{policy['upload_dir']}/{'x' * 1024}"):
        oss(sandbox.post(sandbox.form(policy) | {"key": key}, b"x"), 403, "AccessDenied", "starts-with")


def raw(sandbox: Sandbox, *fields: tuple[str, Any], **headers: str) -> httpx.Response:
    """Post parts in an order of their own."""
    url = f"{sandbox.world.public_url}/oss"
    request = httpx.Request("POST", url, files=list(fields), headers=headers)
    request.read()
    return results(request, sandbox.world)


def test_the_order_of_the_form(sandbox: Sandbox) -> None:
    """`file` is the last field, and there is one; no field comes twice; anything but a form is malformed."""
    fields = [(name, (None, value)) for name, value in sandbox.form(sandbox.policy()).items()]
    file = ("file", ("a.png", b"x"))
    for parts in ([file, *fields], [*fields[:-1], file, fields[-1]], [*fields, file, file], fields):
        oss(raw(sandbox, *parts), 400, "MalformedPOSTRequest")
    oss(raw(sandbox, *fields, fields[0], file), 400, "InvalidArgument", "OSSAccessKeyId")
    url = f"{sandbox.world.public_url}/oss"
    oss(results(httpx.Request("POST", url, json={}), sandbox.world), 400, "MalformedPOSTRequest")
    for method in ("GET", "PUT"):
        oss(results(httpx.Request(method, url), sandbox.world), 405, "MethodNotAllowed")


def test_the_key_stays_at_home(sandbox: Sandbox) -> None:
    """A form that brings the API key along is refused, and its file is not kept."""
    fields = sandbox.form(sandbox.policy())
    response = sandbox.post(fields, b"x", headers={"Authorization": "Bearer sk-sandbox-dashscope"})
    oss(response, 400, "InvalidArgument", "must never be sent")
    assert sandbox.post(fields, b"x").status_code == 200


def test_a_policy_ends(sandbox: Sandbox) -> None:
    """After 300 seconds a policy has expired, with the documented words."""
    fields = sandbox.form(sandbox.policy())
    sandbox.now += 300
    assert sandbox.post(fields, b"x").status_code == 200
    sandbox.now += 1
    response = sandbox.post(fields | {"key": f"{fields['key']}2"}, b"x")
    oss(response, 403, "AccessDenied", "Invalid according to Policy: Policy expired.")


def test_nothing_is_overwritten(sandbox: Sandbox) -> None:
    """A second file under the same key is 409; other names of one policy are fine; 100 MB are the most."""
    fields = sandbox.form(sandbox.policy())
    assert sandbox.post(fields, b"x").status_code == 200
    oss(sandbox.post(fields, b"y"), 409, "FileAlreadyExists")
    assert sandbox.post(fields | {"key": f"{fields['key']}2"}, b"y").status_code == 200


def test_too_large(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the policy's length is 400 EntityTooLarge."""
    monkeypatch.setattr("wan_cli.sandbox.dashscope_uploads._MOST_MB", 1)
    fields = sandbox.form(sandbox.policy())
    oss(sandbox.post(fields, bytes((1 << 20) + 1)), 400, "EntityTooLarge")
    assert sandbox.post(fields, bytes(1 << 20)).status_code == 200


def test_uploads_cannot_be_fetched(sandbox: Sandbox) -> None:
    """A file is for the models alone: the file host does not know it, by its id neither."""
    sandbox.upload(png(300, 300))
    (stored,) = (sandbox.world.folder / "files").glob("*.json")
    for url in (f"https://sandbox.invalid/files/{stored.stem}.png", "https://sandbox.invalid/oss/a.png"):
        oss(results(httpx.Request("GET", url), sandbox.world), 404, "NoSuchKey")
