//! Many places in one link: the kernel takes all or none, so that a place it cannot probe has to be found and left out.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// Attempts to find bad places before giving up on the rest: 64 lone bad places among 64k take about 1,100.
const MAX_ATTEMPTS: usize = 4096;

/// Errors that are never about one place.
pub(super) const FATAL: [i32; 5] = [
    libc::EPERM,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOMEM,
    libc::E2BIG,
];

/// What came of many places.
#[derive(Debug, Default)]
pub(super) struct Bisected {
    /// Links that hold.
    pub(super) links: Vec<OwnedFd>,
    /// Places that fire.
    pub(super) count: usize,
    /// Places that cannot be probed, with the kernel's error.
    pub(super) bad: Vec<(usize, io::Error)>,
}

/// Links the places of `range` by `link`, halving the range as long as it fails with errors that may be about one place.
/// Those in `fatal` are about none of them.
pub(super) fn bisect(
    range: Range<usize>,
    fatal: &[i32],
    mut link: impl FnMut(Range<usize>) -> io::Result<OwnedFd>,
) -> io::Result<Bisected> {
    let mut result = Bisected::default();
    let mut pending = vec![range];
    let mut attempts = 0;
    while let Some(range) = pending.pop() {
        if range.is_empty() {
            continue;
        }
        attempts += 1;
        match link(range.clone()) {
            Ok(fd) => {
                result.count += range.len();
                result.links.push(fd);
            }
            Err(error)
                if error
                    .raw_os_error()
                    .is_some_and(|errno| fatal.contains(&errno)) =>
            {
                return Err(error);
            }
            Err(error) if range.len() == 1 => result.bad.push((range.start, error)),
            Err(error) if attempts >= MAX_ATTEMPTS => {
                let all = range.map(|place| (place, io::Error::from(error.kind())));
                result.bad.extend(all);
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                pending.push(middle..range.end);
                pending.push(range.start..middle);
            }
        }
    }
    result.bad.sort_by_key(|(place, _)| *place);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: usize, bad: &[usize]) -> (Bisected, usize) {
        let mut attempts = 0;
        let result = bisect(0..count, &FATAL, |range| {
            attempts += 1;
            match bad.iter().any(|place| range.contains(place)) {
                true => Err(io::Error::from_raw_os_error(524)),
                false => std::fs::File::open("/dev/null").map(OwnedFd::from),
            }
        });
        (result.expect("no error is about all"), attempts)
    }

    #[test]
    fn finds_exactly_the_bad_places() {
        let lists: [&[usize]; 5] = [&[], &[0], &[9_551], &[3, 4, 5_000], &[1, 2, 3, 4, 5, 6, 7]];
        for bad in lists {
            let (result, attempts) = check(9_552, bad);
            let found: Vec<usize> = result.bad.iter().map(|(place, _)| *place).collect();
            assert_eq!(found, bad);
            assert_eq!(result.count, 9_552 - bad.len());
            assert!(
                attempts <= 1 + 30 * bad.len(),
                "{attempts} attempts for {bad:?}"
            );
        }
        assert_eq!(check(2, &[0, 1]).0.count, 0);
    }
}
