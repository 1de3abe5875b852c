"""The texts of an upload that lists are matched over."""

from app.domain import CodesFinding, Findings, Needs, SceneFinding, Status, TextFinding, TextLine, TextSource


def stored_texts(needs: Needs, findings: Findings) -> dict[TextSource, TextFinding]:
    """The same, out of what was found at the time."""
    return texts_to_match(
        needs,
        ocr=findings.ocr,
        model_text=findings.model_text,
        codes=findings.codes,
        scene=findings.scene,
        caption=findings.caption,
    )


def texts_to_match(
    needs: Needs,
    *,
    ocr: TextFinding,
    model_text: TextFinding,
    codes: CodesFinding,
    scene: SceneFinding,
    caption: str | None,
) -> dict[TextSource, TextFinding]:
    """The sources that should have been read. One that the policy switched off is absent, not unknown."""
    texts: dict[TextSource, TextFinding] = {}
    if needs.read_text:
        texts[TextSource.OCR] = ocr
    if needs.model_text:
        texts[TextSource.MODEL_TEXT] = model_text
    if needs.read_codes:
        texts[TextSource.QR] = codes.as_text
    texts[TextSource.CAPTION] = TextFinding(status=Status.OK, lines=_lines(caption))
    if needs.describe:
        texts[TextSource.SCENE] = TextFinding(status=scene.status, reason=scene.reason, lines=_lines(scene.description))
    return texts


def _lines(text: str | None) -> tuple[TextLine, ...]:
    return tuple(TextLine(text=line) for line in (text or "").splitlines())
