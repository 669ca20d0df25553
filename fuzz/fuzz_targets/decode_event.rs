//! Event bytes are claims: whatever they say, decoding neither panics nor hangs.
#![no_main]

use fathom_bpf::layout::{StackMode, TimeMode};
use fathom_bpf::object::{ActionKind, FormatSink, SourceSpan};
use fathom_bpf::{Action, Field, Layout};
use fathom_output::{EventDecoder, Message, NullResolver, OutputFormat, Printer};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static DECODER: LazyLock<EventDecoder> = LazyLock::new(|| {
    let actions: Vec<Action> = kinds()
        .into_iter()
        .map(|kind| Action {
            kind,
            span: SourceSpan::default(),
        })
        .collect();
    EventDecoder::new(&actions, "..").expect("the formats fit their arguments")
});

fuzz_target!(|event: &[u8]| {
    let mut out = Vec::new();
    if let Ok(fathom_output::Event::Value(value)) = DECODER.decode(event, &NullResolver, &mut out) {
        for format in [OutputFormat::Text, OutputFormat::Json] {
            Printer::new(format, "..").write(&Message::Value(&value), &mut out);
        }
    }
});

fn field(offset: u32, layout: Layout) -> Field {
    Field {
        name: "f".into(),
        offset,
        bits: None,
        layout,
    }
}

/// One action for each kind of layout, and the ones that have offsets of their own.
fn kinds() -> Vec<ActionKind> {
    let signed = true;
    let (mode, limit) = (StackMode::Perf, 8);
    let parts = vec![
        field(0, Layout::StringRef),
        field(8, Layout::Buffer { size: 8 }),
    ];
    let layouts = [
        Layout::Int { size: 8, signed },
        Layout::StringRef,
        Layout::String { size: 8 },
        Layout::Buffer { size: 16 },
        Layout::Inet,
        Layout::UserSymbol,
        Layout::KernelStack { mode, limit },
        Layout::UserStack { mode, limit },
        Layout::Stats { signed },
        Layout::Timestamp {
            mode: TimeMode::Boot,
            format: "%c %f %V".into(),
        },
        Layout::Array {
            element: Box::new(Layout::StringRef),
            len: 4,
        },
        Layout::Tuple {
            size: 20,
            fields: Arc::new(parts),
        },
    ];
    let mut kinds: Vec<ActionKind> = layouts
        .into_iter()
        .map(|layout| ActionKind::PrintValue {
            value: field(8, layout),
        })
        .collect();
    kinds.push(ActionKind::Join {
        separator: " ".into(),
        count_offset: 8,
        strings_offset: 16,
        limit: 16,
    });
    kinds.push(ActionKind::Format {
        sink: FormatSink::Print,
        format: "%s %*d %r\n".into(),
        args: vec![
            field(8, Layout::StringRef),
            field(16, Layout::Int { size: 4, signed }),
            field(20, Layout::Int { size: 4, signed }),
            field(24, Layout::Buffer { size: 8 }),
        ],
    });
    kinds
}
