"""Reads a Dockerfile as far as the tests need: stages and their instructions, without shell or variables."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str

    @property
    def options(self) -> dict[str, str]:
        """`--from=builder` as {"from": "builder"}."""
        given = [part for part in self.rest.split() if part.startswith("--")]
        return {name: value for name, _, value in (part[2:].partition("=") for part in given)}

    @property
    def arguments(self) -> list[str]:
        return [part for part in self.rest.split() if not part.startswith("--")]


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.word == word]

    def only(self, word: str) -> Instruction:
        (instruction,) = self.all(word)
        return instruction


def parse_dockerfile(text: str) -> list[Stage]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        instruction = Instruction(word.upper(), " ".join(rest.split()))
        if instruction.word == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            stages.append(Stage(name, base))
        elif stages:
            stages[-1].instructions.append(instruction)
    return stages
