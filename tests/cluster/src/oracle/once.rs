//! No resource is active on two nodes.

/// Judges what is active where: node and resource.
///
/// # Errors
/// The resource, and its nodes.
pub fn judge<'a>(active: impl Iterator<Item = (u32, &'a str)>) -> Result<(), String> {
    let mut seen: Vec<(&str, u32)> = active.map(|(node, resource)| (resource, node)).collect();
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if pair[0].0 == pair[1].0 {
            let (one, other) = (pair[0].1, pair[1].1);
            return Err(format!(
                "{} is active on nodes {one} and {other}",
                pair[0].0
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_found() {
        assert_eq!(judge([(1, "a"), (2, "b")].into_iter()), Ok(()));
        assert!(judge([(1, "a"), (2, "b"), (3, "a")].into_iter()).is_err());
    }
}
