"""The answers of the commands that show what mechanisms do."""

from __future__ import annotations

from typing import Final

from oddtoc.explain.story import Place
from oddtoc.explain.trace import Call
from oddtoc.lab.outcome import Outcome
from oddtoc.report.schemas.parts import (
    Schema,
    address,
    count,
    flag,
    listing,
    mapping,
    nullable,
    record,
    seconds,
    text,
    texts,
)

_MECHANISM: Final = text("detection/storage, or shared-toc")

LAB: Final = record(
    "every mechanism in every scenario",
    mechanisms=texts("the mechanisms, in order"),
    scenarios=listing("the scenarios, in order", record("a scenario", name=text("its name"), summary=text("in words"))),
    cells=listing(
        "one for each mechanism and scenario",
        record(
            "a verdict",
            mechanism=_MECHANISM,
            scenario=text("what is called how"),
            outcome=text("the verdict", *(outcome.value for outcome in Outcome)),
            detail=text("what was found, for a failure; why, for a refusal"),
            calls=count("patched calls before the verdict"),
        ),
    ),
)

_WORDS: Final = nullable(listing("what it holds in the replacement, and afterwards", {"type": "string"}))
PROVE: Final = listing(
    "the proofs",
    record(
        "what is proven of one kind of call",
        mechanism=_MECHANISM,
        template=text("the trampoline"),
        target=text("whose trampoline it is", "kernel", "process"),
        entry=text("what stands at the global entry of the patched function"),
        replacement_expects_in_r2=text("what the new function expects there"),
        call=text("the kind of call"),
        made_by=nullable(text("what such calls take to exist, beyond compiled code")),
        verdict=text("what came of it", "proven", "conditional", "refuted", "undecided"),
        failed=mapping("claims that do not hold for all states", text("the claim in words")),
        conditions=listing(
            "what makes it right",
            record(
                "a repair",
                conditions=texts("names of conditions"),
                any_of=flag("whether one of them is enough"),
                exact=flag("whether it goes wrong without"),
                by_construction=flag("whether oddtoc itself sees to it"),
            ),
        ),
        ways=listing(
            "the ways that such calls take",
            record(
                "a way",
                instructions_in=count("instructions to the replacement"),
                instructions_out=count("instructions back"),
                reserved_word=_WORDS,
                toc_save=_WORDS,
            ),
        ),
        counterexample=nullable(
            record(
                "how it goes wrong",
                story=texts("what is called, in words"),
                consequences=texts("what comes of it"),
                instructions=listing(
                    "what runs",
                    record(
                        "an instruction",
                        address=address("where"),
                        text=text("in assembly"),
                        returning=flag("whether the call is coming back"),
                    ),
                ),
                values=mapping("register or word", address("its value before the call")),
            )
        ),
        seconds=seconds("how long the proof took"),
    ),
)

_STATE: Final[dict[str, Schema]] = {
    "registers": mapping("register", address("its value")),
    "frame": mapping("offset in the caller's frame header, in bytes", address("the word there")),
}
EXPLAIN: Final = record(
    "a patched call, instruction by instruction",
    function=text("the function that is called"),
    mechanism=_MECHANISM,
    call=text("how", *(call.value for call in Call)),
    where=text("the laboratory, or the target"),
    frame=address("the caller's r1"),
    toc=address("the caller's r2"),
    cost=record(
        "instructions above those of an unpatched call",
        **{"in": count("up to the replacement"), "back": count("behind it")},
    ),
    right=flag("whether the caller goes on as it should"),
    verdict=text("in words"),
    headings=record("place -> heading", **{place.value: text("a heading") for place in Place}),
    meanings=mapping("an address or value", text("what it is")),
    header=listing(
        "the words of the caller's frame header",
        record("a word", offset=count("bytes from r1"), name=text("of the ABI"), borrowable=flag("by a mechanism")),
    ),
    start=record("the state before the first instruction", **_STATE),
    steps=listing(
        "the instructions that ran",
        record(
            "an instruction",
            number=count("from 1"),
            address=address("where"),
            place=text("what it is part of", *(place.value for place in Place)),
            offset=count("bytes from the beginning of that place"),
            word=address("the instruction"),
            assembly=text("in words"),
            remark=text("what happens, where that is not plain"),
            changes=listing(
                "what it changed",
                record(
                    "a change",
                    what=text("a register, or a word of the frame"),
                    before=address("the value"),
                    after=address("the value"),
                    meaning=text("what that value is"),
                ),
            ),
            odd=flag("whether r2 is odd now"),
            borrowed=listing("offsets of frame words that hold the trampoline's values", {"type": "integer"}),
            skipped=flag("whether it called something that ran unseen"),
            inferred=flag("whether it was not watched, but follows"),
            **_STATE,
        ),
    ),
)
