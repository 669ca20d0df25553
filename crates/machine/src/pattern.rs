//! Name patterns as scripts write them: `*` any run, `?` one character, `[a-z]` one of a set.

/// A compiled name pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    literal: bool,
}

impl Pattern {
    /// Takes the pattern as written.
    pub fn new(text: impl Into<String>) -> Pattern {
        let text = text.into();
        let literal = !has_wildcard(&text);
        Pattern { text, literal }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no wildcard, so that it can only match one name.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether it matches all names.
    pub fn is_everything(&self) -> bool {
        self.text == "*"
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        if self.literal {
            self.text == name
        } else {
            matches_bytes(self.text.as_bytes(), name.as_bytes())
        }
    }
}

/// Whether the text has a character that makes it a pattern.
pub fn has_wildcard(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// Greedy matching with one point to return to: linear in practice, quadratic at worst, never exponential.
fn matches_bytes(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(_) => one(&pattern[p..], name[n]),
            None => None,
        };
        match (step, star) {
            (Some(used), _) => {
                p += used;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// How many pattern bytes match this one byte. An unclosed `[` stands for itself.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => match set_end(pattern) {
            Some(end) => in_set(&pattern[1..end], byte).then_some(end + 1),
            None => (byte == b'[').then_some(1),
        },
        literal => (literal == byte).then_some(1),
    }
}

fn set_end(pattern: &[u8]) -> Option<usize> {
    // The first byte after `[` or `[!` belongs to the set even when it is `]`.
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) {
        3
    } else {
        2
    };
    (first..pattern.len()).find(|&i| pattern[i] == b']')
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match set.first() {
        Some(b'!' | b'^') => (true, &set[1..]),
        _ => (false, set),
    };
    let mut found = false;
    while let Some(&low) = rest.first() {
        if rest.len() >= 3 && rest[1] == b'-' {
            found |= (low..=rest[2]).contains(&byte);
            rest = &rest[3..];
        } else {
            found |= low == byte;
            rest = &rest[1..];
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn matches_names() {
        let cases = [
            ("*", "", true),
            ("*", "x", true),
            ("sys_*", "sys_read", true),
            ("sys_*", "xsys_read", false),
            ("*read*", "vfs_readv", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[", "[", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                expected,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = Pattern::new("*a".repeat(40) + "b");
        assert!(!pattern.matches(&"a".repeat(4000)));
    }
}
