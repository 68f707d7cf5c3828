//! "Did you mean": the closest of the words that would have been right.

/// Longest word that is compared: the cost grows with the product of the lengths, and no word of
/// ours is longer.
const WORD_MAX: usize = 64;

/// The candidate closest to `word`, if one is close enough to be meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > WORD_MAX {
        return None;
    }
    let word = normal(word);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_MAX)
        .map(|candidate| (distance(&word, &normal(candidate)), candidate))
        .filter(|(far, candidate)| *far <= (candidate.chars().count().max(word.len()) / 3).max(1))
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Case, `_` and `-` are no differences.
fn normal(word: &str) -> Vec<char> {
    word.chars()
        .map(|c| if c == '_' { '-' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many insertions, removals, replacements and swaps of neighbours turn `a` into `b`
/// (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["lease", "acquire-after", "renew-every", "mode", "prefer"];
        let cases = [
            ("acquire-aftr", Some("acquire-after")),
            ("acquire_after", Some("acquire-after")),
            ("Lease", Some("lease")),
            ("laese", Some("lease")),
            ("moed", Some("mode")),
            ("colour", None),
            ("", None),
        ];
        for (word, meant) in cases {
            assert_eq!(closest(word, keys), meant, "{word}");
        }
    }

    #[test]
    fn long_words_cost_nothing() {
        assert_eq!(closest(&"x".repeat(1 << 20), ["lease"]), None);
    }
}
