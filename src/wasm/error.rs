//! Errors as JavaScript's `Error`, with a name to tell them apart.

use wasm_bindgen::JsValue;

use super::wording::Options;
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
            Error::Config { .. } | Error::Argument { .. } => "InvalidOption",
            Error::Diverged { .. } => "Diverged",
            Error::Device { .. } | Error::Io { .. } | Error::Slower { .. } => "Internal",
        };
        named(name, &error.worded(&Options))
    }
}

/// A JavaScript `Error` called `name`.
pub(super) fn named(name: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name(name);
    error.into()
}

/// Reads options from JSON.
#[cfg(not(feature = "check"))]
pub(super) fn options<T: serde::de::DeserializeOwned>(json: &str) -> JsResult<T> {
    serde_json::from_str(json).map_err(|e| named("InvalidOption", &format!("The options: {e}.")))
}

/// JSON of something that has a JSON form.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and finite numbers have a JSON form")
}
