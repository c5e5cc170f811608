//! Cooperative matrices (tensor cores): what an adapter offers of those that kernels use.

use crate::kernels::CooperativeMatrices;

/// What a device must be opened with.
pub(super) const FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SUBGROUP);

/// What `adapter` offers.
pub(super) fn offered_by(adapter: &wgpu::Adapter) -> CooperativeMatrices {
    let (features, info) = (adapter.features(), adapter.get_info());
    // llvmpipe is right with its usual vectors of eight: with four it lists fragments while it denies the
    // feature (`wgpu` reads the list, and panics when the device is opened), with sixteen it crashes.
    let is_broken = info.device_type == wgpu::DeviceType::Cpu && info.subgroup_max_size != 8;
    if !features.contains(FEATURES) || is_broken {
        return CooperativeMatrices::default();
    }
    let shapes = adapter.cooperative_matrix_properties();
    let extent = |operands| {
        // WGSL has square fragments of two sizes; of large ones a subgroup needs fewer.
        [16, 8].into_iter().find(|&extent| {
            shapes.iter().any(|shape| {
                [shape.m_size, shape.n_size, shape.k_size] == [extent; 3]
                    && shape.ab_type == operands
                    && shape.cr_type == wgpu::CooperativeScalarType::F32
            })
        })
    };
    CooperativeMatrices {
        f32: extent(wgpu::CooperativeScalarType::F32),
        f16: extent(wgpu::CooperativeScalarType::F16)
            .filter(|_| features.contains(wgpu::Features::SHADER_F16)),
        subgroup_sizes: match info.backend {
            // Reported as 4 to 64 for all; every GPU of Apple's that has fragments has 32.
            wgpu::Backend::Metal => [32; 2],
            _ => [info.subgroup_min_size, info.subgroup_max_size],
        },
        scalar_pointers: info.backend == wgpu::Backend::Metal,
    }
}
