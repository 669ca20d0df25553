//! Finds existing names that look like a mistyped one.

/// Suggestions given at most.
const MAX_SUGGESTIONS: usize = 3;

/// Names longer than this are not compared: the distance is quadratic.
const MAX_NAME_BYTES: usize = 128;

/// The candidates closest to `name` by edit distance, best first; nothing that differs in more than a third of its length,
/// except names that contain it.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Vec::new();
    }
    let limit = (name.len() / 3).max(1);
    let mut best: Vec<(usize, &str)> = Vec::new();
    for candidate in candidates {
        let Some(distance) = score(name, candidate, limit) else {
            continue;
        };
        let at = best.partition_point(|(other, text)| (*other, *text) < (distance, candidate));
        if at < MAX_SUGGESTIONS && best.get(at).is_none_or(|(_, text)| *text != candidate) {
            best.insert(at, (distance, candidate));
            best.truncate(MAX_SUGGESTIONS);
        }
    }
    best.into_iter()
        .map(|(_, candidate)| candidate.to_string())
        .collect()
}

/// Edit distance up to `limit`; a name that only has more around it (`state` in `__state`) counts as near too.
fn score(name: &str, candidate: &str, limit: usize) -> Option<usize> {
    if candidate.len() > MAX_NAME_BYTES {
        return None;
    }
    if candidate.len().abs_diff(name.len()) <= limit {
        let distance = edit_distance(name.as_bytes(), candidate.as_bytes());
        if distance <= limit {
            return Some(distance);
        }
    }
    let is_wrapped =
        name.len() >= 4 && candidate.len() <= 2 * name.len() && candidate.contains(name);
    is_wrapped.then(|| limit + candidate.len() - name.len())
}

fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_the_likely_name() {
        let names = ["__state", "stack", "stat_x", "static_prio", "comm", "stack"];
        assert_eq!(nearest("state", names), ["__state"]);
        assert_eq!(nearest("stacks", names), ["stack"]);
        assert_eq!(nearest("comn", names), ["comm"]);
        assert!(nearest("zzz", names).is_empty());
        assert!(nearest("", names).is_empty());
    }
}
