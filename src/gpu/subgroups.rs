//! Subgroups in browsers: `wgpu` does not know the feature there, so it is added to what it asks for.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Proxy, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

const METHOD: &str = "requestDevice";

/// Runs `request`, which calls `GPUAdapter.requestDevice`, so that it asks for subgroups too where the adapter
/// has them; returns whether it did.
pub(super) fn asking<T>(request: impl FnOnce() -> T) -> (T, bool) {
    let asked = Rc::new(Cell::new(false));
    let noted = Rc::clone(&asked);
    let apply: Closure<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>> =
        Closure::new(move |method: Function, adapter: JsValue, arguments: Array| {
            noted.set(add_feature(&adapter, &arguments).unwrap_or(false));
            Reflect::apply(&method, &adapter, &arguments)
        });
    // Without it there is a device all the same.
    let replaced = replace_method(apply.as_ref());
    let requested = request();
    if let Ok((prototype, method)) = replaced {
        // What could be set before can be set back.
        let _ = Reflect::set(&prototype, &METHOD.into(), &method);
    }
    (requested, asked.get())
}

/// Puts a proxy of `GPUAdapter.prototype.requestDevice` that calls `apply` in its place; returns what was
/// changed, and the method that it had.
fn replace_method(apply: &JsValue) -> Result<(Object, Function), JsValue> {
    let class = Reflect::get(&js_sys::global(), &"GPUAdapter".into())?;
    let prototype: Object = Reflect::get(&class, &"prototype".into())?.dyn_into()?;
    let method: Function = Reflect::get(&prototype, &METHOD.into())?.dyn_into()?;
    let handler = Object::new();
    Reflect::set(&handler, &"apply".into(), apply)?;
    Reflect::set(&prototype, &METHOD.into(), &Proxy::new(&method, &handler))?;
    Ok((prototype, method))
}

/// Adds subgroups to the required features of `requestDevice`'s first argument; says whether it did.
fn add_feature(adapter: &JsValue, arguments: &Array) -> Result<bool, JsValue> {
    let subgroups = JsValue::from_str("subgroups");
    let offered = Reflect::get(adapter, &"features".into())?;
    let has: Function = Reflect::get(&offered, &"has".into())?.dyn_into()?;
    let required = Reflect::get(&arguments.get(0), &"requiredFeatures".into())?;
    if !has.call1(&offered, &subgroups)?.is_truthy() || !Array::is_array(&required) {
        return Ok(false);
    }
    required.unchecked_into::<Array>().push(&subgroups);
    Ok(true)
}
