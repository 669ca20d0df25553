//! Reads the text form back, for tests.

use fathom_bpf::helper::Helper;
use fathom_bpf::map::MapId;
use fathom_bpf::object::{Signature, SourceSpan};

use super::*;

/// Reads a program; panics with the line that it does not understand.
pub(crate) fn parse(text: &str) -> Program {
    let mut program = Program::default();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or("").trim();
        if !line.is_empty() && line != "}" {
            let read = Line {
                text: line,
                tokens: tokens(line),
                at: 0,
            }
            .read(&mut program);
            assert!(read.is_some(), "parse: {line:?}");
        }
    }
    program
}

fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '#');
        let len = if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("->") {
            2
        } else if is_word(first) || (first == '-' && rest[1..].starts_with(is_word)) {
            1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1)
        } else {
            1
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

struct Line<'a> {
    text: &'a str,
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Line<'a> {
    fn read(&mut self, program: &mut Program) -> Option<()> {
        if self.eat("fn") {
            return self.function(program);
        }
        let function = program.functions.last_mut()?;
        if self.text.ends_with(':') {
            return self.block(function);
        }
        if self.tokens.get(1) == Some(&":") {
            return self.slot(function);
        }
        if let Some(end) = self.terminator() {
            function.blocks.last_mut()?.end = end?;
            return Some(());
        }
        let result = if self.tokens.get(1) == Some(&"=") {
            let value = self.value()?;
            self.at += 1;
            function.value_count = function.value_count.max(value.0 + 1);
            Some(value)
        } else {
            None
        };
        let op = self.op()?;
        function.blocks.last_mut()?.insts.push(Inst {
            result,
            op,
            span: SourceSpan::default(),
        });
        Some(())
    }

    fn function(&mut self, program: &mut Program) -> Option<()> {
        let name = self.next()?.to_owned();
        let params = self.list()?;
        let signature = match params.len() {
            1 => Signature::Main,
            2 => Signature::LoopCallback,
            _ => Signature::MapCallback,
        };
        let value_count = params.iter().map(|param| param.0 + 1).max()?;
        let blocks = vec![block(params)];
        program.functions.push(Function {
            name,
            signature,
            blocks,
            slots: Vec::new(),
            value_count,
        });
        Some(())
    }

    fn block(&mut self, function: &mut Function) -> Option<()> {
        let index: usize = self.number('b')?;
        let params = if self.peek() == Some("(") {
            self.list()?
        } else {
            Vec::new()
        };
        for param in &params {
            function.value_count = function.value_count.max(param.0 + 1);
        }
        if index > 0 {
            assert_eq!(
                index,
                function.blocks.len(),
                "parse: blocks out of order: {}",
                self.text
            );
            function.blocks.push(block(params));
        }
        Some(())
    }

    fn slot(&mut self, function: &mut Function) -> Option<()> {
        self.at = 2;
        let size = self.next()?.parse().ok()?;
        self.expect("align")?;
        let align = self.next()?.parse().ok()?;
        let purpose = self.next()?.trim_matches('"').to_owned();
        function.slots.push(SlotData {
            size,
            align,
            purpose,
            span: SourceSpan::default(),
        });
        Some(())
    }

    /// `None` when it is none, `Some(None)` when it is a bad one.
    fn terminator(&mut self) -> Option<Option<Terminator>> {
        let word = self.peek()?;
        if !matches!(word, "jump" | "branch" | "return" | "unreachable") {
            return None;
        }
        self.at += 1;
        Some(match word {
            "jump" => self.target().map(Terminator::Jump),
            "return" => self.operand().map(Terminator::Return),
            "unreachable" => Some(Terminator::Unreachable),
            _ => self.branch(),
        })
    }

    fn branch(&mut self) -> Option<Terminator> {
        let (op, is_32) = compare(self.next()?)?;
        let (lhs, rhs) = self.sides()?;
        self.expect("->")?;
        let then = self.target()?;
        self.expect("|")?;
        let otherwise = self.target()?;
        Some(Terminator::Branch {
            op,
            is_32,
            lhs,
            rhs,
            then,
            otherwise,
        })
    }

    fn op(&mut self) -> Option<Op> {
        let word = self.next()?;
        if let Some((op, is_32)) = compare(word) {
            let (lhs, rhs) = self.sides()?;
            return Some(Op::Compare {
                op,
                is_32,
                lhs,
                rhs,
            });
        }
        if let Some((op, is_32)) = binary(word) {
            let (lhs, rhs) = self.sides()?;
            return Some(Op::Binary {
                op,
                is_32,
                lhs,
                rhs,
            });
        }
        match word {
            "const" => return Some(Op::Const(self.next()?.parse().ok()?)),
            "neg" => {
                return Some(Op::Negate {
                    value: self.value()?,
                });
            }
            "zero" => {
                let (memory, base, offset) = self.place()?;
                self.expect(",")?;
                return Some(Op::Zero {
                    memory,
                    base,
                    offset,
                    len: self.next()?.parse().ok()?,
                });
            }
            "copy" => return self.copy(),
            "call_kernel" => {
                let btf_id = self.next()?.parse().ok()?;
                return Some(Op::CallKernel {
                    btf_id,
                    args: self.list()?,
                });
            }
            "call" => {
                let helper = Helper::from_name(self.next()?)?;
                return Some(Op::Call {
                    helper,
                    args: self.list()?,
                });
            }
            _ => {}
        }
        match word.split_once('.') {
            Some((name, width)) => self.access(name, width_of(width)?),
            None => self.address(word),
        }
    }

    fn access(&mut self, name: &str, width: Width) -> Option<Op> {
        Some(match name {
            "sext" | "zext" => Op::Extend {
                value: self.value()?,
                from: width,
                signed: name == "sext",
            },
            "swap" => Op::SwapBytes {
                value: self.value()?,
                width,
            },
            "load" | "sload" => {
                let (memory, base, offset) = self.place()?;
                Op::Load {
                    width,
                    signed: name == "sload",
                    memory,
                    base,
                    offset,
                }
            }
            "store" => {
                let (memory, base, offset) = self.place()?;
                self.expect(",")?;
                Op::Store {
                    width,
                    memory,
                    base,
                    offset,
                    value: self.operand()?,
                }
            }
            _ => {
                let op = match name {
                    "atomic_add" => AtomicOp::Add,
                    "fetch_add" => AtomicOp::FetchAdd,
                    "exchange" => AtomicOp::Exchange,
                    _ => return None,
                };
                let (base, offset) = self.bracket()?;
                self.expect(",")?;
                Op::Atomic {
                    op,
                    width,
                    base,
                    offset,
                    value: self.value()?,
                }
            }
        })
    }

    fn address(&mut self, word: &str) -> Option<Op> {
        let mut offset = || {
            if self.eat("+") {
                self.next()?.parse().ok()
            } else {
                Some(0)
            }
        };
        if let Some(slot) = word.strip_prefix("slot") {
            return Some(Op::SlotAddress {
                slot: Slot(slot.parse().ok()?),
                offset: offset()?,
            });
        }
        if let Some(id) = word.strip_prefix("fn") {
            return Some(Op::FunctionAddress(FunctionId(id.parse().ok()?)));
        }
        let map = MapId(word.strip_prefix("map")?.parse().ok()?);
        if self.eat("[") {
            self.at += 3;
            return Some(Op::MapValue {
                map,
                offset: self.next()?.parse().ok()?,
            });
        }
        Some(Op::Map(map))
    }

    fn copy(&mut self) -> Option<Op> {
        let (to_memory, to, to_offset) = self.place()?;
        self.expect(",")?;
        let (from_memory, from, from_offset) = self.place()?;
        self.expect(",")?;
        let len = self.next()?.parse().ok()?;
        self.expect("align")?;
        let align = self.next()?.parse().ok()?;
        Some(Op::Copy {
            to,
            to_offset,
            to_memory,
            from,
            from_offset,
            from_memory,
            len,
            align,
        })
    }

    fn place(&mut self) -> Option<(Memory, Value, i32)> {
        let memory = match self.next()? {
            "ctx" => Memory::Context,
            "stack" => Memory::Stack,
            "map" => Memory::Map,
            "event" => Memory::Event,
            "packet" => Memory::Packet,
            "kernel" => Memory::Kernel,
            _ => return None,
        };
        let (base, offset) = self.bracket()?;
        Some((memory, base, offset))
    }

    fn bracket(&mut self) -> Option<(Value, i32)> {
        self.expect("[")?;
        let base = self.value()?;
        self.expect("+")?;
        let offset = self.next()?.parse().ok()?;
        self.expect("]")?;
        Some((base, offset))
    }

    fn sides(&mut self) -> Option<(Value, Operand)> {
        let lhs = self.value()?;
        self.expect(",")?;
        Some((lhs, self.operand()?))
    }

    fn target(&mut self) -> Option<Target> {
        let block = BlockId(self.number('b')?);
        let args = if self.peek() == Some("(") {
            self.list()?
        } else {
            Vec::new()
        };
        Some(Target { block, args })
    }

    fn list(&mut self) -> Option<Vec<Value>> {
        self.expect("(")?;
        let mut values = Vec::new();
        while !self.eat(")") {
            values.push(self.value()?);
            self.eat(",");
        }
        Some(values)
    }

    fn operand(&mut self) -> Option<Operand> {
        match self.peek()?.parse() {
            Ok(imm) => {
                self.at += 1;
                Some(Operand::Imm(imm))
            }
            Err(_) => self.value().map(Operand::Value),
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.number('v').map(Value)
    }

    fn number<T: std::str::FromStr>(&mut self, prefix: char) -> Option<T> {
        self.next()?.strip_prefix(prefix)?.parse().ok()
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.tokens.get(self.at - 1).copied()
    }

    fn eat(&mut self, token: &str) -> bool {
        let is_there = self.peek() == Some(token);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }
}

fn block(params: Vec<Value>) -> Block {
    Block {
        params,
        insts: Vec::new(),
        end: Terminator::Unreachable,
        end_span: SourceSpan::default(),
    }
}

fn binary(word: &str) -> Option<(BinaryOp, bool)> {
    let (name, is_32) = split_bits(word)?;
    BinaryOp::ALL
        .into_iter()
        .find(|op| op.name() == name)
        .map(|op| (op, is_32))
}

fn compare(word: &str) -> Option<(Compare, bool)> {
    let (name, is_32) = split_bits(word)?;
    Compare::ALL
        .into_iter()
        .find(|op| op.name() == name)
        .map(|op| (op, is_32))
}

fn split_bits(word: &str) -> Option<(&str, bool)> {
    match word.strip_suffix("64") {
        Some(name) => Some((name, false)),
        None => word.strip_suffix("32").map(|name| (name, true)),
    }
}

fn width_of(letter: &str) -> Option<Width> {
    [Width::B1, Width::B2, Width::B4, Width::B8]
        .into_iter()
        .find(|width| width.to_string() == letter)
}
