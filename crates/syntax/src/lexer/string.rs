//! Escapes in string literals.

/// A string literal read: its bytes, and what was wrong in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unescaped {
    /// The bytes meant.
    pub bytes: Vec<u8>,
    /// Wrong escapes: offset and length in the text between the quotes, and one sentence.
    pub problems: Vec<(usize, usize, String)>,
}

/// Resolves the escapes in `text`, which stands between the quotes.
pub fn unescape(text: &str) -> Unescaped {
    let mut out = Unescaped::default();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.bytes.push(bytes[at]);
            at += 1;
            continue;
        }
        at += escape(text, at, &mut out);
    }
    out
}

/// Reads the escape at `at`, a backslash, and returns its length.
fn escape(text: &str, at: usize, out: &mut Unescaped) -> usize {
    let rest = &text[at + 1..];
    let Some(letter) = rest.chars().next() else {
        out.problems
            .push((at, 1, "a lone `\\` at the end of a string".to_owned()));
        return 1;
    };
    let plain = match letter {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        '\\' => b'\\',
        '"' => b'"',
        '0'..='7' => return number(rest, 0, 8, 3, at, out),
        'x' => return number(rest, 1, 16, 2, at, out),
        _ => {
            let length = 1 + letter.len_utf8();
            out.problems.push((
                at,
                length,
                format!("`\\{}` is no escape", letter.escape_default()),
            ));
            return length;
        }
    };
    out.bytes.push(plain);
    2
}

/// Reads up to `most` digits of `radix` after `skip` letters of `rest`; returns the length with the backslash.
fn number(
    rest: &str,
    skip: usize,
    radix: u32,
    most: usize,
    at: usize,
    out: &mut Unescaped,
) -> usize {
    let digits = rest[skip..]
        .bytes()
        .take(most)
        .take_while(|&byte| char::from(byte).is_digit(radix))
        .count();
    let length = 1 + skip + digits;
    match u8::from_str_radix(&rest[skip..skip + digits], radix) {
        Ok(byte) => out.bytes.push(byte),
        Err(_) if digits == 0 => {
            out.problems.push((
                at,
                length,
                "`\\x` wants one or two hexadecimal digits".to_owned(),
            ));
        }
        Err(_) => out.problems.push((
            at,
            length,
            format!("`\\{}` is larger than a byte", &rest[..digits]),
        )),
    }
    length
}
