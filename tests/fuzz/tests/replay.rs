//! What the fuzzer found worth keeping, again.

use std::path::Path;

use fuzz::{Fuzzer, TARGETS};

/// New inputs that each target gets besides the corpus.
const FRESH: u64 = 150;

#[test]
fn corpora_are_answered_without_a_panic() {
    for (name, target) in TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let files = std::fs::read_dir(&directory).expect("the corpus");
        let mut count = 0;
        for file in files {
            let input = std::fs::read(file.expect("a file").path()).expect("an input");
            target.run(&input);
            count += 1;
        }
        assert!(count > 5, "{name}: a corpus of {count}");
    }
}

#[test]
fn mutated_clusters_are_answered_without_a_panic() {
    for (_, target) in TARGETS {
        let mut fuzzer = Fuzzer::new(target, 7, Vec::new());
        for number in 0..FRESH {
            let input = fuzzer.input(number);
            let shown = target.run(&input);
            fuzzer.learn(number, input, shown);
        }
    }
}
