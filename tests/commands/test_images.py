"""Images, sound and files among the inputs: sized as they are billed, and nowhere written out as base64."""

from __future__ import annotations

import base64
import io
import random
import wave
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import dspy
import pytest
from dspy.lm15 import Message, Response, TextPart, Usage
from faces import COMMANDS, EXPORT

from skillfleet_nb import Fleet
from skillfleet_nb.blobs import Blob, referred
from skillfleet_nb.commands import Context, run
from skillfleet_nb.commands.views import as_text
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.lm.media import Media, media_of
from skillfleet_nb.lm.prices import price_of
from skillfleet_nb.store import Home
from skillfleet_nb.store.blobs import Blobs

COLOURS = ("red", "green", "blue")


def png(width: int, height: int, seed: int) -> bytes:
    """Draw noise, which no compression makes smaller."""
    rng = random.Random(seed)
    lines = b"".join(b"\0" + rng.randbytes(3 * width) for _ in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")


def wav(seconds: int) -> bytes:
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(random.Random(seconds).randbytes(16000 * seconds))
        return file.getvalue()


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


class Painter:
    """Answers with a colour, and uses 1,000 tokens of input."""

    answers_here = True

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Painter:
        return self

    def __reduce__(self) -> Any:
        return Painter, ()

    def price_per_token(self) -> tuple[float, float]:
        return 1e-6, 2e-6

    def complete(self, request: Any) -> Response:
        self.sent.append(request)
        text = f"[[ ## colour ## ]]\n{COLOURS[len(str(request)) % 3]}\n\n[[ ## completed ## ]]"
        used = Usage(input_tokens=1000, output_tokens=10, total_tokens=1010)
        return Response(
            id=None, model=request.model, message=Message.assistant([TextPart(text)]), usage=used, finish_reason="stop"
        )


class Spot(dspy.Signature):  # type: ignore[misc]  # DSPy is untyped here
    """Name the colour of the picture."""

    picture: dspy.Image = dspy.InputField()
    paper: dspy.File = dspy.InputField()
    colour: Literal["red", "green", "blue"] = dspy.OutputField()


def right(example: Any, pred: Any, trace: Any = None) -> bool:
    return bool(example.colour == pred.colour)


PICTURES = [png(256, 256, seed) for seed in range(8)]
PAPERS = [b"%PDF-1.4 " + random.Random(seed).randbytes(3000) for seed in range(8)]
PIECES = [base64.b64encode(data).decode()[900:960] for data in (*PICTURES, *PAPERS)]
"""A piece of the base64 of each."""


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    return [
        dspy.Example(
            picture=dspy.Image(uri("image/png", picture)),
            paper=dspy.File(file_data=uri("application/pdf", paper)),
            colour=COLOURS[n % 3],
        ).with_inputs("picture", "paper")
        for n, (picture, paper) in enumerate(zip(PICTURES, PAPERS, strict=True))
    ]


def free_of_data(shown: object) -> None:
    text = shown if isinstance(shown, str) else repr(shown)
    assert not [piece for piece in PIECES if piece in text]


@pytest.mark.parametrize(
    ("model", "content", "tokens"),
    [
        ("openai/gpt-4o", (1024, 1024, "high"), 765),
        ("openai/gpt-4o", (2048, 4096, "auto"), 1105),
        ("openai/gpt-4o", (2048, 4096, "low"), 85),
        ("azure/gpt-4o-mini-2024-07-18", (1024, 1024, "auto"), 25501),
        ("openai/gpt-4.1-mini", (1024, 1024, "auto"), 1659),
        ("openai/gpt-5", (512, 512, "auto"), 210),
        ("anthropic/claude-sonnet-4-5", (1000, 1000, "auto"), 1334),
        ("gemini/gemini-2.5-pro", (1024, 512, "auto"), 516),
        ("gemini/gemini-2.5-pro", (300, 300, "auto"), 258),
    ],
)
def test_an_image_takes_what_its_provider_bills(model: str, content: tuple[int, int, str], tokens: int) -> None:
    width, height, detail = content
    head = png(1, 1, 0).replace((1).to_bytes(4, "big") * 2, width.to_bytes(4, "big") + height.to_bytes(4, "big"), 1)
    part = {"type": "image_url", "image_url": {"url": uri("image/png", head), "detail": detail}}
    assert media_of([{"type": "text", "text": "look"}, part], model) == Media(image=tokens)


def test_sound_is_reckoned_by_its_seconds_and_a_file_by_nothing() -> None:
    heard = [{"type": "input_audio", "input_audio": {"data": base64.b64encode(wav(3)).decode(), "format": "wav"}}]
    assert media_of(heard, "gemini/gemini-2.5-flash") == Media(audio=96)
    assert media_of(heard, "openai/gpt-4o-audio-preview") == Media(audio=30)
    assert media_of([{"type": "file", "file": {"file_data": uri("application/pdf", PAPERS[0])}}], "x") == Media(
        unknown=1
    )
    far = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    assert media_of(far, "openai/gpt-4o") == Media(image=765, assumed=1)


def test_sound_has_a_price_of_its_own() -> None:
    price = price_of(SimpleNamespace(model="gemini/gemini-2.5-flash"))
    assert price is not None
    assert price.cost(1000, 0, media=Media(audio=1000)) == pytest.approx(1000 * 1e-6)
    assert price.cost(1000, 0) == pytest.approx(1000 * 3e-7)


def test_data_is_put_back_as_it_was_written(tmp_path: Path) -> None:
    kept = Blobs(Home.find(tmp_path / ".skillfleet"))
    sound = base64.b64encode(wav(1)).decode()
    torn, unpadded = uri("image/png", PICTURES[0])[:5001], sound.rstrip("=")[:-1]
    for text in (uri("image/png", PICTURES[0]), sound, torn, unpadded, f"{{'data': '{sound}'}} and {torn!r}"):
        short = kept.taken_out(text.encode()).decode()
        assert len(short) < 300
        assert kept.put_back(short) == text
        assert referred(text) == short
    for plain in ("a" * 5000, "ACGT" * 1000, "0123456789abcdef" * 100, "no data:image/png;base64, here", "word " * 900):
        assert kept.taken_out(plain.encode()) == plain.encode()
    assert kept.find(kept.taken_out(sound.encode()).decode()) == Blob("audio/wav", wav(1))


def test_data_is_written_once_beside_the_journal_and_shown_nowhere(
    tmp_path: Path, rows: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, engine = Fleet(tmp_path / ".skillfleet"), Painter()
    lm = dspy.LM(f"openai/gpt-4o-{tmp_path.name}", engine=engine)
    student = dspy.Predict(Spot)
    names = {"student": student, "rows": rows, "right": right, "lm": lm}
    shown: list[object] = []
    context = Context(lambda _: fleet, names, lambda *_, **__: None, shown.append, lambda _: lambda *_: None)
    task = "student --train rows --metric right --lm lm"

    def face(command: str) -> None:
        try:
            answer = run(command.split(), context)
        except SkillfleetError as exc:
            answer = str(exc)
        draws = [getattr(answer, name, None) for name in ("_repr_html_", "_repr_mimebundle_")]
        shown.extend([as_text(answer), repr(answer), *(str(draw()) for draw in draws if callable(draw))])

    for command in (f"doctor {task}", f"estimate {task} --optimizer miprov2 --probe 0", f"headroom {task}"):
        face(command)
    given = {"metric": right, "train": rows[:4], "val": rows[4:6], "test": rows[6:], "lm": lm, "num_threads": 1}
    chosen = {"max_bootstrapped_demos": 2, "max_labeled_demos": 2, "num_candidate_programs": 2}
    job = fleet.optimize(
        student, optimizer="bootstrap_random_search", params=chosen, name="seen", max_calls=9, review="none", **given
    )
    assert str(job.result().stop_reason).startswith("budget")
    assert (fleet.home.journal_dir(job.id) / "parcel.bin").stat().st_size < 50_000
    job = fleet.resume("seen", max_calls=200)
    assert job.result().state == "completed"
    fleet.optimize(student, optimizer="labeled_fewshot", params={"k": 2}, name="few", **given).result()
    commands = [c for c in COMMANDS if not c.startswith(("save", "plot", "db", "program "))]
    for command in [*commands, EXPORT]:
        face(command.format("seen", "few", folder=tmp_path))
    shown += [fleet.sql(f"from {relation}").to_csv() for relation in ("lm_calls", "programs", "trials")]
    printed = capsys.readouterr()
    for text in [*shown, printed.out, printed.err]:
        free_of_data(text)
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        free_of_data(file.read_bytes().decode("latin-1"))
    assert {f.read_bytes() for f in fleet.home.blobs.iterdir()} == {*PICTURES, *PAPERS}

    tried = fleet.programs.of("few")
    best = tried[next(iter(tried.frame.program_id[tried.frame.n_demos > 0]))].load(dspy.Predict(Spot))
    engine.sent.clear()
    with dspy.context(lm=lm):
        best(picture=rows[7].picture, paper=rows[0].paper)
    pictures = [p for m in engine.sent[0].messages for p in m.parts if type(p).__name__ == "ImagePart"]
    assert len(pictures) == 3, "demos hold their pictures again"
    prompt = fleet.sql("select prompt from lm_calls where prompt like '%blob:image/png%' limit 1").prompt[0]
    assert fleet.blobs.find(prompt).data in PICTURES
