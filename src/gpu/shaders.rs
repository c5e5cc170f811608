//! The table of kernels that `build.rs` makes from `shaders/`.

/// One kernel: a WGSL file with its preludes.
#[derive(Debug)]
pub struct Shader {
    /// File name without its ending.
    pub name: &'static str,
    /// Complete WGSL source, without comments.
    pub source: &'static str,
    /// How each binding from 1 on is accessed. Binding 0 is the uniform.
    pub bindings: &'static [Access],
}

/// How a kernel accesses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written, perhaps read too.
    Write,
    /// A texture that is read, into which the tensor is copied before: see [`super::texture`].
    Texture,
}

// `SHADERS`, ordered by name.
include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

impl Shader {
    /// The kernel called `name`.
    ///
    /// # Panics
    /// If there is no such file in `shaders/`: a mistake in the calling op.
    pub fn named(name: &str) -> &'static Shader {
        let found = SHADERS.binary_search_by(|shader| shader.name.cmp(name));
        &SHADERS[found.unwrap_or_else(|_| panic!("no shader {name}.wgsl"))]
    }
}
