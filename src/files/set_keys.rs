//! What training scripts call the sets of weights that they save together.

/// Keys of dictionaries, and beginnings of tensors' names. Of several sets the first of these is the usual one: the
/// trained weights, then their moving average; of a teacher and its student the teacher, which is such an average.
pub const KEYS: [&str; 12] = [
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
    "teacher",
    "student",
    "encoder",
];

/// The place of a set at `path`, keys with dots between them, among others: smaller ones are rather taken.
pub fn rank(path: &str) -> Vec<usize> {
    let place = |key| KEYS.iter().position(|usual| *usual == key).unwrap_or(KEYS.len());
    path.split('.').filter(|key| !key.is_empty()).map(place).collect()
}
