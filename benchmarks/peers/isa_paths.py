"""The lesser instruction sets that engines are held to for a comparison on this machine."""

from dataclasses import dataclass

FORMAT = "Q4_1"
BITS = ("int8", "int4")


@dataclass(frozen=True)
class IsaPath:
    """An instruction set by the names that people, LLMOS and oneDNN (ONEDNN_MAX_CPU_ISA) give it."""

    title: str
    isa: str
    onednn: str

    @property
    def ours(self) -> str:
        return f"LLMOS {FORMAT} on {self.title}"

    @property
    def peers(self) -> tuple[str, ...]:
        return tuple(f"OpenVINO {bits} on {self.title}" for bits in BITS)


ISA_PATHS = (IsaPath("AVX-VNNI", "avx_vnni", "AVX2_VNNI"), IsaPath("AVX2", "avx2", "AVX2"))
