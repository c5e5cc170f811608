//! `webmae-bindgen INPUT.wasm FOLDER NAME`: the module's JavaScript and types, for browsers, under that name.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = arguments.as_slice() else {
        eprintln!("usage: webmae-bindgen INPUT.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let generated = bindgen
        .input_path(input)
        .out_name(name)
        .web(true)
        .and_then(|bindgen| bindgen.typescript(true).generate(folder));
    match generated {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
