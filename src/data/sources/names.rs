//! What names of folders and files say: splits, and what systems leave behind that is no data.

use std::collections::HashMap;

/// Names of folders with training data.
pub(super) const TRAIN: [&str; 2] = ["train", "training"];

/// Names of folders with held-out data, in order of preference.
pub(super) const HELD_OUT: [&str; 5] = ["val", "valid", "validation", "test", "testing"];

/// What archives, network drives, waste baskets and file systems put beside data, in lower case.
const HOUSEKEEPING: [&str; 9] = [
    "__macosx",
    "@eadir",
    "@tmp",
    "@recycle",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];

/// Whether a folder of that name holds a part of the data to train or measure with.
pub(super) fn is_split(name: &str) -> bool {
    let name = name.to_lowercase();
    TRAIN.iter().chain(&HELD_OUT).any(|split| name == *split)
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
    fn splits_have_any_case() {
        for name in ["Train", "TRAINING", "val", "Valid", "validation", "Test", "testing"] {
            assert!(is_split(name), "{name}");
        }
        for name in ["trains", "training set", "tester", "value", "cat"] {
            assert!(!is_split(name), "{name}");
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
