//! Errors as JavaScript's `Error`, with a name to tell them apart.

use wasm_bindgen::JsValue;

use crate::error::Error;

/// `Result` whose error is a JavaScript `Error`.
pub(super) type JsResult<T> = Result<T, JsValue>;

/// A JavaScript `Error` whose `name` is a class of the package.
impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        let name = match &error {
            Error::NoAdapter { .. } => "WebGPUUnavailable",
            Error::OutOfMemory { .. } | Error::DoesNotFit { .. } => "OutOfMemory",
            Error::DeviceLost { .. } => "DeviceLost",
            Error::BadWeights { .. } | Error::BadFile { .. } => "BadWeights",
            Error::Config { .. } => "InvalidOption",
            Error::Diverged { .. } => "Diverged",
            Error::Device { .. } | Error::Io { .. } | Error::Slower { .. } => "Internal",
        };
        named(name, &error.to_string())
    }
}

/// A JavaScript `Error` called `name`.
pub(super) fn named(name: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(&camel_case_options(message));
    error.set_name(name);
    error.into()
}

/// Options of the command line, `--batch-size`, as options of the package, `batchSize`.
fn camel_case_options(message: &str) -> String {
    let mut parts = message.split("--");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(part.len());
        let (option, rest) = part.split_at(end);
        for (i, word) in option.split('-').enumerate() {
            match (i, word.split_at_checked(1)) {
                (1.., Some((first, tail))) => {
                    text.push_str(&first.to_ascii_uppercase());
                    text.push_str(tail);
                }
                _ => text.push_str(word),
            }
        }
        text.push_str(rest);
    }
    text
}

/// Reads options from JSON.
pub(super) fn options<T: serde::de::DeserializeOwned>(json: &str) -> JsResult<T> {
    serde_json::from_str(json).map_err(|e| named("InvalidOption", &format!("The options: {e}.")))
}

/// JSON of something that has a JSON form.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and finite numbers have a JSON form")
}
