//! Names of numbers: errors, signals and system calls (Linux, x86_64).

mod errors;
mod signals;
mod syscalls;

use errors::ERRORS;
use signals::SIGNALS;
use syscalls::SYSCALLS;

/// Text of strerror(3) in the C locale.
pub fn strerror(number: i64) -> &'static str {
    find(ERRORS, number).unwrap_or("Unknown error")
}

/// Text of strsignal(3) in the C locale: `Killed` for 9. This is what scripts see as the name of a signal.
pub fn signal_text(number: i64) -> String {
    match number {
        34..=64 => format!("Real-time signal {}", number - 34),
        _ => match signal(number) {
            Some((_, _, text)) => (*text).to_owned(),
            None => format!("Unknown signal {number}"),
        },
    }
}

/// `SIGKILL` for 9; real-time signals as `SIGRTMIN+1`.
pub fn signal_name(number: i64) -> Option<String> {
    match number {
        34 => Some("SIGRTMIN".into()),
        35..=64 => Some(format!("SIGRTMIN+{}", number - 34)),
        _ => signal(number).map(|(_, name, _)| (*name).to_owned()),
    }
}

fn signal(number: i64) -> Option<&'static (i64, &'static str, &'static str)> {
    SIGNALS.iter().find(|row| row.0 == number)
}

/// `openat` for 257.
pub fn syscall_name(number: i64) -> Option<&'static str> {
    find(SYSCALLS, number)
}

fn find(table: &'static [(u16, &'static str)], number: i64) -> Option<&'static str> {
    let number = u16::try_from(number).ok()?;
    let index = table.binary_search_by_key(&number, |row| row.0).ok()?;
    Some(table[index].1)
}
