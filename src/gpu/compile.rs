//! From a kernel's key to its pipeline.

use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};

use super::Gpu;
use super::pipeline::{Pipeline, Source};
use crate::kernels::{KernelKey, Shader};

impl Gpu {
    /// The kernel for `key`, to be compiled if it was not declared before.
    pub(crate) fn declare(&self, key: &KernelKey) -> Arc<Pipeline> {
        let mut kernels = self.inner.pipelines.lock().unwrap();
        if let Some(kernel) = kernels.get(key) {
            return Arc::clone(kernel);
        }
        let kernel = Arc::new(Pipeline {
            key: key.clone(),
            layout: self.layout(key),
            compiled: OnceLock::new(),
            #[cfg(target_family = "wasm")]
            asked: Default::default(),
        });
        kernels.insert(key.clone(), Arc::clone(&kernel));
        kernel
    }

    /// Kernels that were declared and are not compiled yet.
    pub(super) fn uncompiled(&self) -> Vec<Arc<Pipeline>> {
        let kernels = self.inner.pipelines.lock().unwrap();
        kernels.values().filter(|kernel| kernel.compiled.get().is_none()).cloned().collect()
    }

    /// What launches `kernel`, compiled now if it was not before.
    pub(super) fn pipeline<'a>(&self, kernel: &'a Pipeline) -> &'a wgpu::ComputePipeline {
        kernel.compiled.get_or_init(|| self.create_pipeline(kernel, &self.source(kernel)))
    }

    pub(super) fn source(&self, kernel: &Pipeline) -> Source {
        let shader = Shader::named(kernel.key.shader);
        let device = &self.inner.device;
        let checks = if self.inner.checked {
            wgpu::ShaderRuntimeChecks::checked()
        } else {
            wgpu::ShaderRuntimeChecks::unchecked()
        };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(shader.text(&kernel.key).into()),
        };
        // SAFETY: the kernels are our own and index within the sizes that the ops give them; the
        // tests run every one of them with the checks on as well.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&kernel.layout)],
            immediate_size: 0,
        });
        Source { module, layout }
    }

    pub(super) fn create_pipeline(
        &self,
        Pipeline { key, .. }: &Pipeline,
        Source { module, layout }: &Source,
    ) -> wgpu::ComputePipeline {
        let overrides = Shader::named(key.shader).overrides(&key.constants);
        let constants: Vec<(&str, f64)> =
            overrides.map(|(name, value)| (name, f64::from(value))).collect();
        self.inner.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(key.shader),
            layout: Some(layout),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: self.inner.checked,
            },
            cache: None,
        })
    }

    fn layout(&self, key: &KernelKey) -> wgpu::BindGroupLayout {
        let shader = Shader::named(key.shader);
        let buffer = |ty, smallest| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: NonZeroU64::new(smallest),
        };
        let bindings = shader.bindings.iter().map(|binding| {
            let ty = wgpu::BufferBindingType::Storage { read_only: !binding.writes };
            buffer(ty, binding.smallest(key))
        });
        let uniform = buffer(wgpu::BufferBindingType::Uniform, shader.uniform_bytes);
        let entries: Vec<wgpu::BindGroupLayoutEntry> = std::iter::once(uniform)
            .chain(bindings)
            .zip(0..)
            .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty,
                count: None,
            })
            .collect();
        self.inner.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(shader.name),
            entries: &entries,
        })
    }
}
