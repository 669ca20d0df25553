//! `%[-+ #0][width][.precision][hh h l ll j z t L]{d i u o x X c p s r rx rh gr %}`

use fathom_bpf::Layout;

/// Widths and precisions above this are refused: a line of a million blanks is a slip.
const MAX_SIZE: u32 = 65_535;

/// A parsed format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// In order.
    pub pieces: Vec<Piece>,
}

/// Text or a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Copied as it is (`%%` is already one `%`).
    Literal(String),
    /// Shows an argument.
    Spec(Spec),
}

/// One `%…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// `-`
    pub is_left: bool,
    /// `+`
    pub has_plus: bool,
    /// Blank; has no effect, as upstream.
    pub has_space: bool,
    /// `#`
    pub is_alternate: bool,
    /// `0`: padding is made of zeros, on whichever side it is.
    pub has_zeros: bool,
    /// Smallest number of columns.
    pub width: Option<Size>,
    /// Has no effect, as upstream.
    pub precision: Option<Size>,
    /// `hh` to `L`.
    pub length: Length,
    /// The letter.
    pub conversion: Conversion,
}

/// A width or precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Written in the format.
    Fixed(u32),
    /// `*`: the next argument.
    Argument,
}

/// Length modifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// None, or `L`: 32 bits, as for `int` in C.
    #[default]
    Int,
    /// `hh`
    Char,
    /// `h`
    Short,
    /// `l ll j z t`: 64 bits.
    Long,
}

/// What is made of an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conversion {
    /// `d i`
    #[default]
    Signed,
    /// `u`
    Unsigned,
    /// `o`
    Octal,
    /// `x`
    Hex,
    /// `X`
    UpperHex,
    /// `c`
    Char,
    /// `p`
    Pointer,
    /// `s`
    Text,
    /// `r`: printable ASCII kept, the rest `\xNN`.
    Buffer,
    /// `rx`: all `\xNN`.
    BufferEscaped,
    /// `rh`: hex with blanks between.
    BufferHex,
    /// `gr`: names of the kernel's allocation flags.
    GfpFlags,
}

/// The kind of argument that a conversion takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Integers, booleans, enums and pointers.
    Integer,
    /// Anything that has a text form.
    Anything,
    /// Buffers and strings.
    Bytes,
}

impl Wants {
    /// Whether an argument that lies like this will do.
    pub fn accepts(self, layout: &Layout) -> bool {
        match self {
            Wants::Integer => matches!(
                layout,
                Layout::Bool
                    | Layout::Int { .. }
                    | Layout::Enum { .. }
                    | Layout::Pointer
                    | Layout::KernelSymbol
                    | Layout::UserSymbol
                    | Layout::Username { .. }
                    | Layout::Probe
                    | Layout::CgroupPath { .. }
                    | Layout::ErrorName { .. }
                    | Layout::SignalName { .. }
                    | Layout::SyscallName { .. }
                    | Layout::Timestamp { .. }
            ),
            Wants::Anything => !layout.is_aggregation() && !matches!(layout, Layout::None),
            Wants::Bytes => match layout {
                Layout::Buffer { .. } | Layout::String { .. } | Layout::StringRef => true,
                Layout::Array { element, .. } => matches!(**element, Layout::Int { size: 1, .. }),
                _ => false,
            },
        }
    }
}

/// Something is wrong with a format or its arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct FormatError {
    /// Byte offset of the conversion in the format; its end when an argument is left over.
    pub offset: usize,
    /// What.
    pub kind: FormatErrorKind,
}

/// See [`FormatError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatErrorKind {
    /// `%` followed by something unknown, or by nothing.
    #[error("unknown conversion `{0}`")]
    UnknownConversion(String),
    /// A width or precision beyond all reason.
    #[error("width or precision above {MAX_SIZE}")]
    TooWide,
    /// Too few or too many arguments.
    #[error("the format takes {wanted} argument(s), but {given} are given")]
    ArgumentCount {
        /// By the format.
        wanted: usize,
        /// By the call.
        given: usize,
    },
    /// An argument of another kind than the conversion takes.
    #[error("argument {argument} does not fit `{conversion}`")]
    ArgumentKind {
        /// Counted from 0.
        argument: usize,
        /// As written.
        conversion: String,
        /// What it takes.
        wants: Wants,
    },
}

impl Format {
    /// Parses a whole format.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('%') {
            literal.push_str(&rest[..start]);
            let offset = text.len() - rest.len() + start;
            let mut cursor = Cursor {
                rest: &rest[start + 1..],
                offset,
            };
            if let Some(after) = cursor.rest.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Spec(cursor.spec()?));
            rest = cursor.rest;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Format { pieces })
    }

    /// What each argument must be, in order.
    pub fn wants(&self) -> Vec<Wants> {
        let mut wants = Vec::new();
        for spec in self.specs() {
            wants.extend(spec.stars().map(|_| Wants::Integer));
            wants.push(spec.conversion.wants());
        }
        wants
    }

    /// The conversions, in order.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Spec(spec) => Some(spec),
            Piece::Literal(_) => None,
        })
    }

    /// Checks the arguments of a call: their count and kinds.
    pub fn check(&self, arguments: &[&Layout]) -> Result<(), FormatErrorKind> {
        let wants = self.wants();
        if wants.len() != arguments.len() {
            return Err(FormatErrorKind::ArgumentCount {
                wanted: wants.len(),
                given: arguments.len(),
            });
        }
        let mut letters = self
            .specs()
            .flat_map(|spec| spec.stars().map(|_| "*").chain([spec.conversion.letters()]));
        for (argument, (wants, layout)) in wants.iter().zip(arguments).enumerate() {
            let letters = letters.next().unwrap_or_default();
            if !wants.accepts(layout) {
                return Err(FormatErrorKind::ArgumentKind {
                    argument,
                    conversion: format!("%{letters}"),
                    wants: *wants,
                });
            }
        }
        Ok(())
    }
}

impl Spec {
    /// The `*`s of this conversion.
    fn stars(&self) -> impl Iterator<Item = Size> {
        [self.width, self.precision]
            .into_iter()
            .flatten()
            .filter(|size| *size == Size::Argument)
    }
}

impl Conversion {
    /// The kind of argument it takes.
    pub fn wants(self) -> Wants {
        match self {
            Conversion::Text => Wants::Anything,
            Conversion::Buffer | Conversion::BufferEscaped | Conversion::BufferHex => Wants::Bytes,
            _ => Wants::Integer,
        }
    }

    /// How it is written.
    pub fn letters(self) -> &'static str {
        match self {
            Conversion::Signed => "d",
            Conversion::Unsigned => "u",
            Conversion::Octal => "o",
            Conversion::Hex => "x",
            Conversion::UpperHex => "X",
            Conversion::Char => "c",
            Conversion::Pointer => "p",
            Conversion::Text => "s",
            Conversion::Buffer => "r",
            Conversion::BufferEscaped => "rx",
            Conversion::BufferHex => "rh",
            Conversion::GfpFlags => "gr",
        }
    }
}

/// Behind the `%` of one conversion.
struct Cursor<'a> {
    rest: &'a str,
    /// Of the `%`.
    offset: usize,
}

impl Cursor<'_> {
    fn spec(&mut self) -> Result<Spec, FormatError> {
        let start = self.rest;
        let mut spec = Spec::default();
        while let Some(flag) = self.take_any(&["-", "+", " ", "#", "0"]) {
            match flag {
                "-" => spec.is_left = true,
                "+" => spec.has_plus = true,
                " " => spec.has_space = true,
                "#" => spec.is_alternate = true,
                _ => spec.has_zeros = true,
            }
        }
        spec.width = self.size()?;
        if self.take_any(&["."]).is_some() {
            spec.precision = Some(self.size()?.unwrap_or(Size::Fixed(0)));
        }
        spec.length = match self.take_any(&["hh", "h", "ll", "l", "j", "z", "t", "L"]) {
            Some("hh") => Length::Char,
            Some("h") => Length::Short,
            Some("L") | None => Length::Int,
            Some(_) => Length::Long,
        };
        spec.conversion = self.conversion().ok_or_else(|| {
            let written = start.len() - self.rest.len();
            let next = self.rest.chars().next().map_or(0, char::len_utf8);
            let text = format!("%{}", &start[..written + next]);
            self.error(FormatErrorKind::UnknownConversion(text))
        })?;
        Ok(spec)
    }

    fn size(&mut self) -> Result<Option<Size>, FormatError> {
        if self.take_any(&["*"]).is_some() {
            return Ok(Some(Size::Argument));
        }
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Ok(None);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        match number.parse() {
            Ok(number) if number <= MAX_SIZE => Ok(Some(Size::Fixed(number))),
            _ => Err(self.error(FormatErrorKind::TooWide)),
        }
    }

    fn conversion(&mut self) -> Option<Conversion> {
        let letters = self.take_any(&[
            "d", "i", "u", "o", "x", "X", "c", "p", "s", "rx", "rh", "r", "gr",
        ])?;
        Some(match letters {
            "d" | "i" => Conversion::Signed,
            "u" => Conversion::Unsigned,
            "o" => Conversion::Octal,
            "x" => Conversion::Hex,
            "X" => Conversion::UpperHex,
            "c" => Conversion::Char,
            "p" => Conversion::Pointer,
            "s" => Conversion::Text,
            "rx" => Conversion::BufferEscaped,
            "rh" => Conversion::BufferHex,
            "r" => Conversion::Buffer,
            _ => Conversion::GfpFlags,
        })
    }

    /// Steps over the first of `words` that comes next.
    fn take_any(&mut self, words: &[&'static str]) -> Option<&'static str> {
        let word = words.iter().find(|word| self.rest.starts_with(**word))?;
        self.rest = &self.rest[word.len()..];
        Some(word)
    }

    fn error(&self, kind: FormatErrorKind) -> FormatError {
        FormatError {
            offset: self.offset,
            kind,
        }
    }
}
