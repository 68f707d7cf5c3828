use super::*;
use crate::{Cib, Document};

fn cib(inside: &str) -> String {
    format!("<cib admin_epoch=\"0\" epoch=\"1\" num_updates=\"2\">{inside}</cib>")
}

fn patched(old: &str, new: &str) -> (Document, Cib) {
    let mut from = Cib::parse(old, None).expect("old");
    let to = Document::parse(new, None).expect("new");
    let options = Options {
        versions: true,
        digest: true,
    };
    let patch = diff(from.document(), &to, options).expect("they differ");
    apply(&mut from, &patch).unwrap_or_else(|e| panic!("{e}: {}", patch.to_text()));
    (patch, from)
}

#[test]
fn a_patch_makes_the_new_out_of_the_old() {
    let lists = [
        "<a id=\"1\"/><a id=\"2\"/><a id=\"3\"/>",
        "<a id=\"3\"/><a id=\"1\" x=\"y\"/><b/>",
        "<!-- c --><b/><b n=\"1\"/><a id=\"2\"><c id=\"q\"/></a>",
        "<b n=\"1\"/><a id=\"9\"/><a id=\"1\"/><!-- c --><!-- d -->",
        "",
        "<a id=\"2\"><c id=\"r\"/><c id=\"q\"/></a><a id=\"1\"/>",
    ];
    for old in lists {
        for new in lists {
            if old == new {
                continue;
            }
            let new = cib(new).replace("epoch=\"1\"", "epoch=\"2\"");
            let (_, result) = patched(&cib(old), &new);
            let wanted = Document::parse(&new, None).expect("new").to_text();
            assert_eq!(result.to_text(), wanted, "from {old}");
        }
    }
}

#[test]
fn a_patch_fits_only_its_own_version() {
    let new = cib("<a id=\"1\"/>").replace("num_updates=\"2\"", "num_updates=\"3\"");
    let (patch, mut after) = patched(&cib(""), &new);
    let before = after.to_text();
    let again = apply(&mut after, &patch).expect_err("applied twice");
    assert!(matches!(again, PatchError::Old { .. }), "{again}");
    let mut other = Cib::parse(&cib("").replace("epoch=\"1\"", "epoch=\"0\""), None).expect("cib");
    let wrong = apply(&mut other, &patch).expect_err("of another version");
    assert!(matches!(wrong, PatchError::Version { .. }), "{wrong}");
    assert_eq!(after.to_text(), before);
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing() {
    let new = cib("<a id=\"1\" x=\"2\"/>").replace("epoch=\"1\"", "epoch=\"4\"");
    let (patch, _) = patched(&cib("<a id=\"1\"/>"), &new);
    for (text, digest) in [(cib(""), false), (cib("<a id=\"1\" other=\"\"/>"), true)] {
        let mut cib = Cib::parse(&text, None).expect("cib");
        let before = cib.to_text();
        let error = apply(&mut cib, &patch).expect_err("does not fit");
        assert_eq!(
            matches!(error, PatchError::Digest { .. }),
            digest,
            "{error}"
        );
        assert_eq!(cib.to_text(), before);
    }
}

#[test]
fn what_is_no_patch_is_refused_with_the_reason() {
    let change = "<change operation=\"fold\" path=\"/cib\"/>";
    for (text, word) in [
        ("<cib/>", "<cib>"),
        ("<diff/>", "format"),
        ("<diff format=\"1\"/>", "format 1"),
        (&format!("<diff format=\"2\">{change}</diff>"), "fold"),
        (
            "<diff format=\"2\"><change operation=\"delete\" path=\"/cib\"/></diff>",
            "root",
        ),
        (
            "<diff format=\"2\"><change operation=\"create\" path=\"/cib\"/></diff>",
            "create",
        ),
        (
            "<diff format=\"2\"><change operation=\"modify\" path=\"/cib\"/></diff>",
            "change-list",
        ),
        (
            "<diff format=\"2\"><change operation=\"move\" path=\"cib\"/></diff>",
            "cib",
        ),
    ] {
        let patch = Document::parse(text, None).expect("xml");
        let mut target = Cib::empty();
        let error = apply(&mut target, &patch).expect_err(text);
        assert!(error.to_string().contains(word), "{error}");
    }
}
