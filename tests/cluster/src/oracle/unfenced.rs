//! Nothing is recovered from a node that is not certain to be down: when a start begins, the resource is
//! not active anywhere, nor about to be.

/// Judges the start of `resource` on `node`, with what is active or starting on the other nodes.
///
/// # Errors
/// The resource, and both nodes.
pub fn judge<'a>(
    node: u32,
    resource: &str,
    others: impl Iterator<Item = (u32, &'a str)>,
) -> Result<(), String> {
    for (other, known) in others {
        if known == resource && other != node {
            return Err(format!(
                "node {node} begins to start {resource}, which node {other} has or starts"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_beside_another_is_found() {
        assert_eq!(judge(1, "a", [(1, "a"), (2, "b")].into_iter()), Ok(()));
        assert!(judge(1, "a", [(2, "a")].into_iter()).is_err());
    }
}
