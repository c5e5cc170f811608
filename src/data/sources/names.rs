//! What names of folders and files say: splits, and what systems leave behind that is no data.

use std::collections::HashMap;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// To train on.
    Train,
    /// To measure with.
    HeldOut {
        /// Which one to take of several; the least.
        rank: usize,
    },
}

/// Words for training data.
const TRAIN: [&str; 3] = ["train", "training", "trn"];

/// Words for held-out data, in order of preference.
const HELD_OUT: [&str; 9] =
    ["val", "valid", "validation", "dev", "eval", "holdout", "test", "testing", "tst"];

/// Words that say nothing more beside those, or behind them in one word.
const BESIDE: [&str; 10] =
    ["data", "dataset", "images", "image", "imgs", "img", "pictures", "seg", "set", "split"];

/// What archives, programs, network drives, waste baskets and file systems put beside data, in lower case.
const HOUSEKEEPING: [&str; 10] = [
    "__macosx",
    "__pycache__",
    "@eadir",
    "@tmp",
    "@recycle",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];

/// The part of a data set that a folder of that name holds: `train`, `Val`, `test_set`, `images-train`, `train2017`,
/// `testdata`.
pub(super) fn part(name: &str) -> Option<Part> {
    let name = name.to_lowercase();
    let words = name.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let mut telling = words.filter(|word| !BESIDE.contains(word));
    let (word, None) = (telling.next()?, telling.next()) else { return None };
    let whole = [word].into_iter().chain(BESIDE.iter().filter_map(|end| word.strip_suffix(end)));
    whole.into_iter().find_map(|word| {
        let rank = HELD_OUT.iter().position(|held_out| *held_out == word);
        let train = TRAIN.contains(&word).then_some(Part::Train);
        train.or(rank.map(|rank| Part::HeldOut { rank }))
    })
}

/// Whether a file or folder of that name is no data: hidden (`.name`, so also macOS' `._name` and
/// `.ipynb_checkpoints`), or left by a system.
pub(super) fn is_housekeeping(name: &str) -> bool {
    name.starts_with('.') || HOUSEKEEPING.contains(&name.to_lowercase().as_str())
}

/// Of two lists of classes, the first two names that differ by case only; a class of the first list that is in both
/// has found its own.
pub(super) fn differ_by_case<'a>(a: &'a [String], b: &'a [String]) -> Option<[&'a str; 2]> {
    let mut alike: HashMap<String, Vec<&str>> = HashMap::new();
    for name in b {
        alike.entry(name.to_lowercase()).or_default().push(name);
    }
    let within_one = std::ptr::eq(a, b);
    a.iter().find_map(|name| {
        let alike = alike.get(&name.to_lowercase())?;
        let other = alike.iter().find(|&&other| other != name)?;
        (within_one || !alike.contains(&name.as_str())).then_some([name.as_str(), *other])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_many_names() {
        for name in
            ["Train", "TRAINING", "train_set", "train2017", "traindata", "images-train", "trn"]
        {
            assert_eq!(part(name), Some(Part::Train), "{name}");
        }
        let names = [
            "val",
            "Valid",
            "validation",
            "Test",
            "testing",
            "test ",
            "dev",
            "holdout",
            "seg_test",
        ];
        for name in names {
            assert!(matches!(part(name), Some(Part::HeldOut { .. })), "{name}");
        }
        assert!(part("Val_set") < part("test2017"), "of several the validation's is taken");
        for name in ["trains", "tester", "value", "cat", "images", "test tube", "developer", "2017"]
        {
            assert_eq!(part(name), None, "{name}");
        }
    }

    #[test]
    fn systems_leave_no_data() {
        for name in [
            "__MACOSX",
            "._1.jpg",
            "@eaDir",
            "#recycle",
            "$RECYCLE.BIN",
            "lost+found",
            ".git",
            ".ipynb_checkpoints",
            "System Volume Information",
        ] {
            assert!(is_housekeeping(name), "{name}");
        }
        for name in ["_MACOSX", "eaDir", "recycle", "1.jpg", "@home"] {
            assert!(!is_housekeeping(name), "{name}");
        }
    }

    #[test]
    fn names_that_differ_by_case() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let one = names(&["Cat", "cat", "dog"]);
        assert_eq!(differ_by_case(&one, &one), Some(["Cat", "cat"]));
        let other = names(&["Dog", "cat"]);
        assert_eq!(differ_by_case(&other, &one), Some(["Dog", "dog"]));
        // `cat` is known; that there is `Cat` as well is said of the other list.
        assert_eq!(differ_by_case(&other[1..], &one), None);
        assert_eq!(differ_by_case(&names(&["élan"]), &names(&["ÉLAN"])), Some(["élan", "ÉLAN"]));
        assert_eq!(differ_by_case(&other, &other), None);
    }
}
