//! AMX: eight tiles of 16 rows of 64 bytes. `tdpbusd` multiplies a tile of bytes without a sign by one of bytes with a sign and
//! adds four products at a time to a tile of 32-bit sums; it does not saturate on the way.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;

use super::Work;
#[cfg(not(target_arch = "x86_64"))]
use super::portable::Portable as Vectors;
#[cfg(target_arch = "x86_64")]
use super::vnni::Vnni as Vectors;

/// Proof that the processor has tiles of bytes beside AVX-512 with VNNI, and that the system lets this process use them:
/// [`detect`](Self::detect) alone makes it, and on Linux alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amx(Vectors);

impl Amx {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    pub fn detect() -> Option<Self> {
        /// `AMX-TILE` and `AMX-INT8` in EDX of leaf 7.
        const FEATURES: u32 = 1 << 24 | 1 << 25;
        /// Asks for a part of the state of threads, and names that of tiles.
        const REQUEST: libc::c_long = 0x1023;
        const TILES: libc::c_long = 18;
        static ALLOWED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        let vectors = Vectors::detect()?;
        let allowed = ALLOWED.get_or_init(|| {
            // A processor with AVX-512 has this leaf.
            let has = std::arch::x86_64::__cpuid_count(7, 0).edx & FEATURES == FEATURES;
            // SAFETY: the call takes two numbers and changes what this process may do.
            has && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILES) } == 0
        });
        allowed.then_some(Self(vectors))
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
    pub fn detect() -> Option<Self> {
        None
    }

    /// The vectors beside the tiles.
    pub fn vectors(self) -> Vectors {
        self.0
    }

    /// Runs work that [multiplies](multiply) with tiles of these shapes, compiled for the vectors.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub fn run<W: Work>(self, shapes: &Shapes, work: W) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `self` is proof of the instructions, and shapes are within a tile's.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, readonly));
        }
        self.0.run(work);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `self` is proof of the instruction.
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}

/// The rows of each tile and the bytes of its rows, as `ldtilecfg` reads them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(in super::super) struct Shapes([u8; 64]);

impl Shapes {
    /// Tiles 0 to 3 are sums of `pixels` by 16 outputs, 4 and 5 the pixels with `words` of four bytes each, 6 and 7 as many
    /// words of 16 outputs.
    ///
    /// # Panics
    /// When pixels or words are not from 1 to 16.
    pub fn of(pixels: usize, words: usize) -> Self {
        assert!((1..=16).contains(&pixels) && (1..=16).contains(&words));
        let mut bytes = [0; 64];
        bytes[0] = 1;
        for tile in 0..8 {
            let [rows, row] = match tile {
                0..=3 => [pixels, 64],
                4 | 5 => [pixels, 4 * words],
                _ => [words, 64],
            };
            bytes[16 + 2 * tile] = row as u8;
            bytes[48 + tile] = rows as u8;
        }
        Self(bytes)
    }
}

/// Two tiles of pixels times one or two registers of outputs.
#[repr(C)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(in super::super) struct Product {
    /// What sums begin with: `V` registers.
    pub bias: *const u8,
    /// What the first weight of each tile's first pixel reads.
    pub pixels: [*const u8; 2],
    /// Chunks of a run.
    pub chunks: usize,
    /// Bytes of the weights of a chunk.
    pub weights: usize,
    /// Where sums go: for each tile of pixels 16 times `V` registers.
    pub sums: *mut u8,
}

/// Computes a product: of `runs` offsets from the first weight, each with chunks of `chunk` bytes side by side, pixels being
/// `column` bytes apart.
///
/// # Safety
/// [`Amx::run`] runs this with tiles for chunks of so many bytes, and all that is named is there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in super::super) unsafe fn multiply<const V: usize>(
    product: &Product,
    weights: *const u8,
    runs: &[usize],
    chunk: usize,
    column: usize,
) {
    /// `$size` stands for the bytes of a tile of pixels' sums, the lists for what the second register of outputs needs.
    macro_rules! multiply {
        ($size:literal, [$($begin:literal),*], [$($load:literal)?], [$($first:literal)?], [$($second:literal)?], [$($end:literal),*]) => {
            asm!(
                "mov {c}, [{job}]",
                "xor {a:e}, {a:e}",
                "tileloadd tmm0, [{c} + {a}*1]",
                "tileloadd tmm2, [{c} + {a}*1]",
                $($begin,)*
                "2:",
                "mov {a}, [{run}]",
                "mov {b}, {a}",
                "add {a}, [{job} + 8]",
                "add {b}, [{job} + 16]",
                "mov {c}, [{job} + 24]",
                "3:",
                "tileloadd tmm4, [{a} + {column}*1]",
                "tileloadd tmm6, [{w} + {line}*1]",
                "tdpbusd tmm0, tmm4, tmm6",
                $($load,)?
                $($first,)?
                "tileloadd tmm5, [{b} + {column}*1]",
                "tdpbusd tmm2, tmm5, tmm6",
                $($second,)?
                "add {a}, {chunk}",
                "add {b}, {chunk}",
                "add {w}, [{job} + 32]",
                "dec {c}",
                "jnz 3b",
                "add {run}, 8",
                "dec {n}",
                "jnz 2b",
                "mov {c}, [{job} + 40]",
                "tilestored [{c} + {line}*1], tmm0",
                concat!("tilestored [{c} + {line}*1 + ", $size, "], tmm2"),
                $($end,)*
                job = in(reg) product,
                column = in(reg) column,
                chunk = in(reg) chunk,
                line = in(reg) 64 * V,
                w = inout(reg) weights => _,
                run = inout(reg) runs.as_ptr() => _,
                n = inout(reg) runs.len() => _,
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            )
        };
    }
    debug_assert!(!runs.is_empty() && product.chunks > 0);
    // SAFETY: by the caller's promise.
    unsafe {
        match V {
            1 => multiply!("1024", [], [], [], [], []),
            _ => multiply!(
                "2048",
                [
                    "tileloadd tmm1, [{c} + {a}*1 + 64]",
                    "tileloadd tmm3, [{c} + {a}*1 + 64]"
                ],
                ["tileloadd tmm7, [{w} + {line}*1 + 64]"],
                ["tdpbusd tmm1, tmm4, tmm7"],
                ["tdpbusd tmm3, tmm5, tmm7"],
                [
                    "tilestored [{c} + {line}*1 + 64], tmm1",
                    "tilestored [{c} + {line}*1 + 2112], tmm3"
                ]
            ),
        }
    }
}

/// There are no tiles here, and no [`Amx`] that would run this.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) unsafe fn multiply<const V: usize>(
    _: &Product,
    _: *const u8,
    _: &[usize],
    _: usize,
    _: usize,
) {
}
