//! `%gr`: allocation flags of the kernel by name.

use crate::number::append;

/// Combinations first, so that a whole set is shown by its own name (include/trace/events/mmflags.h, Linux 6.10 and later).
const FLAGS: &[(u32, &str)] = &[
    (0x0013_24ca, "GFP_TRANSHUGE"),
    (0x0013_20ca, "GFP_TRANSHUGE_LIGHT"),
    (0x0010_0cca, "GFP_HIGHUSER_MOVABLE"),
    (0x0010_0cc2, "GFP_HIGHUSER"),
    (0x0010_0cc0, "GFP_USER"),
    (0x0040_0cc0, "GFP_KERNEL_ACCOUNT"),
    (0x0000_0cc0, "GFP_KERNEL"),
    (0x0000_0c40, "GFP_NOFS"),
    (0x0000_0c00, "GFP_NOIO"),
    (0x0000_0820, "GFP_ATOMIC"),
    (0x0000_0800, "GFP_NOWAIT"),
    (0x0000_0001, "GFP_DMA"),
    (0x0000_0004, "GFP_DMA32"),
    (0x0000_0002, "__GFP_HIGHMEM"),
    (0x0000_0008, "__GFP_MOVABLE"),
    (0x0000_0010, "__GFP_RECLAIMABLE"),
    (0x0000_0020, "__GFP_HIGH"),
    (0x0000_0040, "__GFP_IO"),
    (0x0000_0080, "__GFP_FS"),
    (0x0000_0100, "__GFP_ZERO"),
    (0x0000_0400, "__GFP_DIRECT_RECLAIM"),
    (0x0000_0800, "__GFP_KSWAPD_RECLAIM"),
    (0x0000_1000, "__GFP_WRITE"),
    (0x0000_2000, "__GFP_NOWARN"),
    (0x0000_4000, "__GFP_RETRY_MAYFAIL"),
    (0x0000_8000, "__GFP_NOFAIL"),
    (0x0001_0000, "__GFP_NORETRY"),
    (0x0002_0000, "__GFP_MEMALLOC"),
    (0x0004_0000, "__GFP_COMP"),
    (0x0008_0000, "__GFP_NOMEMALLOC"),
    (0x0010_0000, "__GFP_HARDWALL"),
    (0x0020_0000, "__GFP_THISNODE"),
    (0x0040_0000, "__GFP_ACCOUNT"),
    (0x0080_0000, "__GFP_ZEROTAGS"),
    (0x0100_0000, "__GFP_SKIP_ZERO"),
    (0x0200_0000, "__GFP_SKIP_KASAN"),
    (0x0400_0000, "__GFP_NOLOCKDEP"),
];

/// Appends the names with `|` between them; what has no name is shown in hex.
pub(crate) fn write_flags(mut flags: u32, out: &mut Vec<u8>) {
    if flags == 0 {
        out.extend_from_slice(b"0");
        return;
    }
    let start = out.len();
    for &(mask, name) in FLAGS {
        if flags & mask == mask {
            flags &= !mask;
            separate(start, out);
            out.extend_from_slice(name.as_bytes());
        }
    }
    if flags != 0 {
        separate(start, out);
        append(out, format_args!("0x{flags:x}"));
    }
}

fn separate(start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b'|');
    }
}
