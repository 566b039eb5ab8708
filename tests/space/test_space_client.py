"""The running demo as `gradio_client` and as a stranger with a URL see it."""

import http.client
import http.server
import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_uploads import SENTENCES

gradio_client = pytest.importorskip("gradio_client")
pytestmark = pytest.mark.slow
README = Path(__file__).parents[2] / "space" / "README.md"


@pytest.fixture(scope="module")
def client(server):
    return gradio_client.Client(server, verbose=False)


def status(url, **more):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **more), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_two_names_are_offered_and_no_other(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/ask", "/ask_item"}


@pytest.mark.parametrize("direction", ["parents", "children"])
def test_a_picture_and_a_box_are_answered_as_the_index_does(client, answers, index_folder, direction):
    image = index_folder.parent / "scenes" / "test" / "000003.jpg"
    sent = gradio_client.handle_file(str(image))
    found = client.predict(image=sent, box="20, 60, 90, 150", direction=direction, k=4, api_name="/ask")
    ask = getattr(answers.index, direction)
    expected = ask(str(image), 4, (20, 60, 90, 150))
    assert [item["id"] for item in found["hierarchy"]["results"]] == [item.id for item in expected]
    assert found["similarity"]["measure"] == "cosine"
    assert len(found["similarity"]["results"]) == 4
    assert found["path"]["results"]
    assert str(index_folder.parent) not in json.dumps(found)


def test_an_item_of_the_index_is_asked_about(client, answers):
    found = client.predict(item="test/3#2", direction="parents", k=3, api_name="/ask_item")
    expected = answers.index.parents(answers.index.row("test/3#2"), 3)
    assert [item["id"] for item in found["hierarchy"]["results"]] == [item.id for item in expected]
    with pytest.raises(gradio_client.exceptions.AppError, match="There is no item"):
        client.predict(item="../../etc/passwd", api_name="/ask_item")


@pytest.mark.parametrize("question", [{"box": "9,9,1,1"}, {"direction": "up"}, {"k": 0}, {"box": "900,900,999,999"}])
def test_questions_without_sense_get_a_sentence(client, index_folder, question):
    image = gradio_client.handle_file(str(index_folder.parent / "scenes" / "test" / "000003.jpg"))
    with pytest.raises(gradio_client.exceptions.AppError, match=r"box|direction|k must"):
        client.predict(image=image, api_name="/ask", **question)


@pytest.mark.parametrize("name", sorted(set(SENTENCES) - {"huge.jpg"}))
def test_hostile_files_get_their_sentence(client, hostile, name):
    with pytest.raises(gradio_client.exceptions.AppError, match=SENTENCES[name]):
        client.predict(image=gradio_client.handle_file(str(hostile[name])), api_name="/ask")


def test_a_huge_file_is_stopped_at_the_door(client, hostile):
    with pytest.raises(Exception, match=r"413|exceed|large"):
        client.predict(image=gradio_client.handle_file(str(hostile["huge.jpg"])), api_name="/ask")


def test_no_path_of_the_machine_is_readable(server, index_folder):
    secret = index_folder.parent / "scenes" / "test" / "000003.jpg"
    for path in ("/etc/passwd", str(index_folder / "manifest.json"), str(secret), "space/app.py", "../../etc/passwd"):
        for route in ("file=", "file/"):
            code, content = status(f"{server}/gradio_api/{route}{path}")
            assert code in (403, 404), path
            assert b"root:" not in content
    # a picture that is there, named instead of sent
    payload = {"data": [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}, "", "parents", 3]}
    headers = {"Content-Type": "application/json"}
    code, content = status(f"{server}/gradio_api/call/ask", data=json.dumps(payload).encode(), headers=headers)
    if code == 200:
        event = json.loads(content)["event_id"]
        _, content = status(f"{server}/gradio_api/call/ask/{event}")
        assert b"event: error" in content
    assert b"hierarchy" not in content


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../../etc/passwd", "/gradio_api/file=//etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd", "/gradio_api/file=..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file/..%2F..%2Fetc%2Fpasswd", "/gradio_api/proxy=file:///etc/passwd",
        "/static/../../../../../../etc/passwd", "/static/..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/assets/../../../../../../etc/passwd", "/svelte/..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/../../../../etc/passwd", "/gradio_api/file=app.py", "/gradio_api/file=./sources.py",
        "/gradio_api/file=requirements.txt", "/gradio_api/vibe-code",
    ],
)  # fmt: skip
def test_no_way_around_leads_to_a_file(server, path):
    host = server.removeprefix("http://")
    line = http.client.HTTPConnection(host, timeout=60)
    line.request("GET", path)  # as it stands: urllib would tidy it up
    answer = line.getresponse()
    content = answer.read()
    assert answer.status in (307, 400, 401, 403, 404, 405, 422), (path, answer.status)
    assert b"root:" not in content
    assert b"import gradio" not in content
    assert b"open_source" not in content


def upload(server, filename, content):
    """As a form sends a file, under any name."""
    edge = "edge-of-a-part"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{filename}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    return status(f"{server}/gradio_api/upload", data=body, headers=headers)


@pytest.mark.parametrize(
    "name", ["../../../escaped.png", "/tmp/escaped.png", "..%2F..%2Fescaped.png", "..\\escaped.png"]
)
def test_an_upload_stays_in_its_folder_whatever_it_is_called(server, uploads, hostile, name):
    content = (hostile["truncated.png"].parent / "whole.png").read_bytes()
    before = set(uploads.parent.rglob("*"))
    code, said = upload(server, name, content)
    assert code in (200, 400, 422)
    new = {file for file in set(uploads.parent.rglob("*")) - before if file.is_file()}
    assert all(file.is_relative_to(uploads) for file in new)
    if code == 200:
        (path,) = json.loads(said)
        assert Path(path).resolve().is_relative_to(uploads.resolve())
        assert Path(path).read_bytes() == content


def test_pages_of_the_machines_own_network_are_not_fetched(server):
    asked = []

    class Inside(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    inside = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{inside.server_port}/secret.png"
    try:
        file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
        headers = {"Content-Type": "application/json"}
        payload = json.dumps({"data": [file, "", "parents", 3]}).encode()
        code, content = status(f"{server}/gradio_api/call/ask", data=payload, headers=headers)
        if code == 200:
            _, content = status(f"{server}/gradio_api/call/ask/{json.loads(content)['event_id']}")
            assert b"event: error" in content
        status(f"{server}/gradio_api/file={address}")
        status(f"{server}/gradio_api/proxy={address}")
    finally:
        inside.shutdown()
        inside.server_close()
    assert asked == []


def test_what_the_page_shows_of_the_api_is_what_happens(client, server, index_folder, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    shutil.copyfile(index_folder.parent / "scenes" / "test" / "000003.jpg", tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    assert "http://127.0.0.1:7860" in code
    exec(compile(code.replace("http://127.0.0.1:7860", server), "README", "exec"), {})
    assert "test/" in capsys.readouterr().out
    # every argument is in the table of the page
    text = README.read_text(encoding="utf-8")
    for name, endpoint in client.view_api(return_format="dict")["named_endpoints"].items():
        assert f"`{name}`" in text
        for argument in endpoint["parameters"]:
            assert f"`{argument['parameter_name']}`" in text, (name, argument)


def test_ten_users_at_once_get_their_own_answers(server, answers):
    items = [f"test/{n}#0" for n in range(10)]
    clients = [gradio_client.Client(server, verbose=False) for _ in items]

    def ask(place):
        return clients[place].predict(item=items[place], direction="parents", k=3, api_name="/ask_item")

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(ask, range(10)))
    for item, answer in zip(items, found, strict=True):
        expected = answers.index.parents(answers.index.row(item), 3)
        assert [entry["id"] for entry in answer["hierarchy"]["results"]] == [entry.id for entry in expected]
