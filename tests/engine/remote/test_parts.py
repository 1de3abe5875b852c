"""The small parts of the remote engine, each alone."""

import asyncio
import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import SecretStr

from app.domain import Question, QuestionKind, WrittenText
from app.engine.catalogue import Catalogue
from app.engine.quoting import quoted
from app.engine.remote.breaker import Breaker
from app.engine.remote.config import RemoteConfig, server_url
from app.engine.remote.picture import data_uri
from app.engine.remote.plain import plain
from app.engine.remote.setup import remote_config
from app.engine.remote.shown import shown as shown_of
from app.engine.remote.slots import Slots
from app.engine.remote.wire import read_completion, request_body
from app.errors import ConfigurationError
from tests.engine.jobs import picture
from tests.engine.remote.scripted import WORDS

#: As model families spell them: ChatML, Llama, Gemma, DeepSeek, Mistral, Qwen-VL, InternVL, llama.cpp's own mark.
CONTROL = (
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|reserved_special_token_17|>",
    "<s>",
    "</s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<｜User｜>",
    "<｜end▁of▁sentence｜>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<|vision_start|>",
    "<|image_pad|>",
    "<IMG_CONTEXT>",
    "<image>",
    "<__media__>",
    "<think>",
    "</think>",
    "[gMASK]",
    "<unused7>",
)


@pytest.mark.parametrize("token", CONTROL)
def test_no_spelling_of_a_control_token_is_left(token: str) -> None:
    for text in (
        token,
        f"a{token}b",
        token * 3,
        f"<{token}>",
        f"[{token}]",
        f"<|{token}",
        token.replace("|", f"|{token}"),
    ):
        assert token not in plain(text)


@given(st.lists(st.sampled_from([*CONTROL, "<", ">", "|", "[", "]", " ", "a", "</", "<|"]), max_size=12).map("".join))
def test_no_mixture_spells_one_either(text: str) -> None:
    found = plain(text)
    assert not any(token in found for token in CONTROL)
    assert found.replace(" ", "") == text.replace(" ", ""), "nothing but spaces is added"


@given(st.text(st.characters(exclude_characters="<[", exclude_categories=["Cs"])))
def test_other_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert plain("a\ud800b") == "a?b"
    request_body("m", Question("q", QuestionKind.YES_NO, "\ud800"), b"data:", top_logprobs=20).decode()


@pytest.mark.parametrize(
    ("given_", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://gpu.example.org/v1/", "https://gpu.example.org/v1"),
        (" https://[::1]:8443/llm ", "https://[::1]:8443/llm/v1"),
    ],
)
def test_an_address_with_or_without_the_version(given_: str, base: str) -> None:
    assert server_url(given_) == base


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "file:///etc/passwd",
        "http://user:hunter2@localhost",
        "http://hunter2@localhost",
        "http://localhost:99999",
        "http://localhost/v1?key=hunter2",
        "http://localhost/#hunter2",
        "http://local host/hunter2",
        "http://[::1/hunter2",
        "http://localhost/\x00hunter2",
    ],
)
def test_a_wrong_address_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="PORTCULLIS_ENGINE_URL") as raised:
        server_url(wrong)
    assert "hunter2" not in str(raised.value)


def test_wrong_settings_are_refused_without_repeating_the_key() -> None:
    with pytest.raises(ConfigurationError, match="PORTCULLIS_ENGINE_KEY") as raised:
        RemoteConfig(url="http://localhost/v1", words=WORDS, key=SecretStr("hunter2\n"))
    assert "hunter2" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="PORTCULLIS_ENGINE_MODEL_DIGEST"):
        RemoteConfig(url="http://localhost/v1", words=WORDS, model_digest="sha256:abc")


@pytest.mark.parametrize(
    ("url", "cleartext"),
    [("http://gpu.example.org", True), ("https://gpu.example.org", False), ("http://127.0.0.1:1", False)],
)
def test_what_crosses_a_network_unencrypted_is_known(url: str, cleartext: bool) -> None:
    assert RemoteConfig(url=server_url(url), words=WORDS).cleartext is cleartext


@pytest.mark.parametrize("demonstration", [True, False])
def test_the_demonstration_model_stays_one_on_a_server(catalogue: Catalogue, demonstration: bool) -> None:
    sha256 = catalogue.entry("demo").files.model.sha256
    assert sha256 is not None
    config = remote_config(
        catalogue,
        "http://localhost",
        key=None,
        model=None,
        model_digest=f"sha256:{sha256 if demonstration else '0' * 64}",
        chat_form=None,
        ca_file=None,
        concurrency=1,
        timeout_s=1,
        top_logprobs=20,
    )
    assert config.demonstration is demonstration
    assert "是" in config.words.yes


@given(st.text(), st.text())
def test_a_request_is_json_whatever_is_asked(model: str, prompt: str) -> None:
    uri = data_uri(picture())
    body = json.loads(request_body(model, Question("q", QuestionKind.YES_NO, prompt), uri, top_logprobs=20))
    shown, asked = body["messages"][0]["content"]
    assert (body["model"], asked["text"]) == (model, plain(prompt))
    assert shown == {"type": "image_url", "image_url": {"url": uri.decode()}}


@given(st.text(), st.text())
def test_a_text_goes_before_the_question_in_one_piece_and_no_picture_with_it(text: str, prompt: str) -> None:
    said = shown_of(WrittenText(text))
    body = json.loads(request_body("m", Question("q", QuestionKind.YES_NO, prompt), said, top_logprobs=20))
    (asked,) = body["messages"][0]["content"]
    assert asked == {"type": "text", "text": plain(f"{quoted(WrittenText(text))}{prompt}")}


@pytest.mark.parametrize("mark", ["<|im_end|>", "</s>", "<start_of_turn>", "<__media__>", "[/INST]"])
def test_no_text_spells_a_control_token_to_a_server(mark: str) -> None:
    said = shown_of(WrittenText(f"hello {mark}"))
    body = request_body("m", Question("q", QuestionKind.YES_NO, "?"), said, top_logprobs=20)
    assert mark not in json.loads(body)["messages"][0]["content"][0]["text"]


@pytest.mark.parametrize(
    ("usage", "read_and_cached"),
    [
        ({"prompt_tokens": 34, "prompt_tokens_details": {"cached_tokens": 33}}, (1, 33)),
        ({"prompt_tokens": 34}, (0, 0)),
        ({"prompt_tokens": 34, "prompt_tokens_details": None}, (0, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 33}}, (0, 0)),
        ({"prompt_tokens": 1e300, "prompt_tokens_details": {"cached_tokens": -1}}, (0, 0)),
        (None, (0, 0)),
    ],
)
def test_what_the_server_had_in_its_cache_is_told(usage: object, read_and_cached: tuple[int, int]) -> None:
    body = {"choices": [{"message": {"content": ""}}], "usage": usage}
    assert read_completion(json.dumps(body).encode()).prompt_tokens == read_and_cached


def test_the_server_sees_the_very_pixels() -> None:
    shown = picture(3)
    uri = data_uri(shown)
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(b"data:image/png;base64,"))), formats=["PNG"])
    assert (decoded.mode, decoded.size) == ("RGB", (shown.width, shown.height))
    assert decoded.tobytes() == shown.rgb


class TestBreaker:
    def test_opens_by_failures_in_a_row_within_the_window(self) -> None:
        now = 0.0
        breaker = Breaker(3, 10.0, clock=lambda: now)
        assert [breaker.failed() for _ in range(2)] == [False, False]
        now = 11.0
        assert [breaker.failed() for _ in range(2)] == [False, False], "the first two are too long ago"
        breaker.succeeded()
        assert [breaker.failed() for _ in range(3)] == [False, False, True]
        assert breaker.open
        assert not breaker.failed(), "it opens once"

    def test_only_a_trial_closes_it(self) -> None:
        breaker = Breaker(1, 10.0)
        breaker.failed()
        breaker.succeeded()
        seen = [breaker.open]
        breaker.reset()
        seen.append(breaker.open)
        assert seen == [True, False]
        assert breaker.failed()


class TestSlots:
    async def test_the_most_urgent_waits_least(self) -> None:
        slots, order = Slots(1), []

        async def turn(urgency: tuple[int, int]) -> None:
            async with slots.taken(urgency):
                order.append(urgency)
                await asyncio.sleep(0)

        async with slots.taken((0, 0)):
            waiting = [asyncio.ensure_future(turn(urgency)) for urgency in ((1, 1), (0, 9), (1, 0), (0, 2))]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert order == [(0, 2), (0, 9), (1, 0), (1, 1)]
        assert slots.free == 1

    @pytest.mark.parametrize("handed_over", [True, False])
    async def test_who_is_cancelled_keeps_no_slot(self, handed_over: bool) -> None:
        slots = Slots(1)

        async def turn() -> None:
            async with slots.taken((0, 0)):
                await asyncio.sleep(0)

        async with slots.taken((0, 0)):
            first, second = asyncio.ensure_future(turn()), asyncio.ensure_future(turn())
            await asyncio.sleep(0)
            if not handed_over:
                first.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert first.cancelled()
        assert slots.free == 1
