//! Mangled names back to what the source says: C++ (Itanium), Rust (legacy and v0).

use cpp_demangle::{BorrowedSymbol, DemangleOptions};
use std::fmt::{self, Write};

/// Longest mangled name that is tried.
const MAX_MANGLED: usize = 8 << 10;
/// Longest text that comes out; substitutions can make exponentially long names.
const MAX_DEMANGLED: usize = 16 << 10;

/// The readable form of a mangled name, parameters of C++ functions included; `None` when it is not mangled.
pub fn demangle(name: &str) -> Option<String> {
    rust(name).or_else(|| cpp(name, &DemangleOptions::new()))
}

/// Like [`demangle`] without the parameters and return type.
pub fn demangle_short(name: &str) -> Option<String> {
    rust(name).or_else(|| cpp(name, &DemangleOptions::new().no_params().no_return_type()))
}

/// Whether the name looks mangled.
pub fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R") || name.starts_with("__Z")
}

/// Rust first: its legacy names are valid C++ names with a hash at the end.
fn rust(name: &str) -> Option<String> {
    if !is_mangled(name) || name.len() > MAX_MANGLED {
        return None;
    }
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Bounded::default();
    // The alternate form leaves out the hash.
    write!(text, "{demangled:#}").ok()?;
    Some(text.0)
}

fn cpp(name: &str, options: &DemangleOptions) -> Option<String> {
    if !name.starts_with("_Z") || name.len() > MAX_MANGLED {
        return None;
    }
    let (symbol, rest) = BorrowedSymbol::with_tail(name.as_bytes()).ok()?;
    let mut text = Bounded::default();
    symbol.structured_demangle(&mut text, options).ok()?;
    // What compilers put behind a clone's name: `.constprop.0`, `.isra.1`, `.cold`.
    match rest {
        [] => {}
        [b'.' | b'@', ..] => write!(text, " [{}]", String::from_utf8_lossy(rest)).ok()?,
        _ => return None,
    }
    Some(text.0)
}

/// A string that refuses to grow beyond its limit.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_DEMANGLED {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demangles_all_schemes() {
        let cases = [
            ("_ZN3foo3barEi", Some("foo::bar(int)")),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                Some("std::vector<int, std::allocator<int> >::push_back(int const&)"),
            ),
            (
                "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE",
                Some("core::fmt::Write::write_fmt"),
            ),
            ("_RNvCs1234_7mycrate3foo", Some("mycrate::foo")),
            (
                "_Z3addii.constprop.0",
                Some("add(int, int) [clone .constprop.0]"),
            ),
            ("main", None),
            ("_Z", None),
            ("_R", None),
        ];
        for (name, expected) in cases {
            assert_eq!(demangle(name).as_deref(), expected, "{name}");
        }
        assert_eq!(demangle_short("_ZN3foo3barEi").as_deref(), Some("foo::bar"));
    }

    #[test]
    fn exponential_names_end() {
        // Each substitution doubles the one before.
        let name = format!("_Z1fP1a{}", "S_S0_".repeat(1000));
        let _ = demangle(&name);
        assert!(demangle(&format!("_Z{}", "N".repeat(100_000))).is_none());
    }
}
