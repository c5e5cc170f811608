//! Running dispatches: a list made once, submitted as a whole where that takes the device no longer than a submission
//! should, else in parts.

use std::ops::Range;
use std::sync::Arc;

use web_time::Instant;

use super::pace::cut;
use super::pipeline::Pipeline;
#[cfg(feature = "native")]
use super::staging::Staged;
use super::{Buffer, Gpu};
use crate::error::Result;
use crate::kernels::{BINDING_ALIGNMENT, KernelKey, MAX_GROUPS_PER_DIMENSION};

/// One kernel launch before its bind group is made.
pub struct Dispatch<'a> {
    /// What runs.
    pub kernel: KernelKey,
    /// Words of the uniform at binding 0.
    pub uniform: &'a [u32],
    /// Bindings from 1 on: buffer, first byte, bytes.
    pub bindings: Vec<(&'a Buffer, u64, u64)>,
    /// Workgroups; folded into two dimensions where one does not hold them.
    pub groups: u32,
    /// How much it does: FLOPs, or what takes as long.
    pub cost: u64,
}

struct Launch {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    grid: (u32, u32),
    cost: u64,
}

/// Dispatches with everything they need, ready to run any number of times.
pub struct CommandList {
    gpu: Gpu,
    /// Keeps the uniforms alive that the bind groups refer to.
    _uniforms: Buffer,
    /// Buffers zeroed before the first dispatch.
    cleared: Vec<(wgpu::Buffer, u64, u64)>,
    launches: Vec<Launch>,
}

impl CommandList {
    /// Compiles kernels, where that is not left to the browser, and makes bind groups. `cleared` ranges
    /// (buffer, first byte, bytes) are zeroed at the start of every run.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] if the uniforms do not fit, [`crate::Error::Device`] on a compiler's
    /// refusal.
    pub fn new(
        gpu: &Gpu,
        dispatches: &[Dispatch<'_>],
        cleared: &[(&Buffer, u64, u64)],
    ) -> Result<Self> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let stride = BINDING_ALIGNMENT as usize;
        let uniforms = gpu.buffer_for("uniforms", (dispatches.len() * stride) as u64, usage)?;
        let mut bytes = vec![0; dispatches.len() * stride];
        for (dispatch, slot) in dispatches.iter().zip(bytes.chunks_exact_mut(stride)) {
            let words: &[u8] = bytemuck::cast_slice(dispatch.uniform);
            slot[..words.len()].copy_from_slice(words);
        }
        gpu.write(&uniforms, 0, &bytes);
        let launches = dispatches
            .iter()
            .zip((0..).step_by(stride))
            .map(|(dispatch, offset)| Launch::new(gpu, dispatch, (&uniforms, offset)))
            .collect();
        #[cfg(not(target_family = "wasm"))]
        gpu.compile();
        gpu.check()?;
        let cleared = cleared.iter().map(|&(b, first, n)| (b.raw.clone(), first, n)).collect();
        Ok(Self { gpu: gpu.clone(), _uniforms: uniforms, cleared, launches })
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.launches.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.launches.is_empty()
    }

    /// Runs lists one after the other; returns at once. What lists with a flag clear is cleared before all else.
    ///
    /// # Panics
    /// If there is no list.
    pub fn submit_all(lists: &[(&CommandList, bool)]) {
        Self::submit_after(lists, |_| ());
    }

    /// The same after the copy of what was staged to the start of `target`.
    ///
    /// # Panics
    /// If there is no list.
    #[cfg(feature = "native")]
    pub fn submit_with(lists: &[(&CommandList, bool)], staged: Staged, target: &Buffer) {
        let submission = Self::submit_after(lists, |encoder| staged.encode_copy(encoder, target));
        staged.release_after(submission);
    }

    /// Returns the submission of what is encoded first.
    fn submit_after(
        lists: &[(&CommandList, bool)],
        encode_first: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> wgpu::SubmissionIndex {
        let gpu = &lists.first().expect("a list to run").0.gpu;
        let mut encoder = gpu.encoder();
        encode_first(&mut encoder);
        for (list, _) in lists.iter().filter(|(_, clear)| *clear) {
            list.encode_clears(&mut encoder);
        }
        gpu.submit_parts(encoder, lists.iter().flat_map(|(list, _)| &list.launches).collect())
    }

    /// Runs some of the dispatches, the clearing included if `clear`.
    pub(crate) fn submit_range(&self, range: Range<usize>, clear: bool) {
        let mut encoder = self.gpu.encoder();
        if clear {
            self.encode_clears(&mut encoder);
        }
        self.gpu.submit_parts(encoder, self.launches[range].iter().collect());
    }

    /// Runs everything once, each dispatch between two timestamps, and returns each one's time in
    /// nanoseconds; `None` where the adapter has no timestamps.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    pub async fn time(&self) -> Result<Option<Vec<f64>>> {
        /// Queries in one set, WebGPU's limit.
        const SET: usize = 4096;
        let inner = &self.gpu.inner;
        if !inner.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let mut times = Vec::with_capacity(self.launches.len());
        let mut clear = true;
        let launches: Vec<&Launch> = self.launches.iter().collect();
        for launches in self.gpu.parts(&launches).flat_map(|part| part.chunks(SET / 2)) {
            let count = 2 * launches.len() as u32;
            let queries = inner.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = self.gpu.buffer_for("timestamps", u64::from(count) * 8, usage)?;
            let mut encoder = self.gpu.encoder();
            if std::mem::take(&mut clear) {
                self.encode_clears(&mut encoder);
            }
            for (launch, first) in launches.iter().zip((0..).step_by(2)) {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(first),
                        end_of_pass_write_index: Some(first + 1),
                    }),
                });
                launch.encode(&self.gpu, &mut pass);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved.raw, 0);
            self.gpu.submit(encoder, launches);
            let bytes = self.gpu.read(&resolved, 0, resolved.bytes).await?;
            let period = f64::from(inner.queue.get_timestamp_period());
            let ticks: &[u64] = bytemuck::cast_slice(&bytes);
            times.extend(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period));
        }
        Ok(Some(times))
    }

    fn encode_clears(&self, encoder: &mut wgpu::CommandEncoder) {
        for (buffer, first, bytes) in &self.cleared {
            encoder.clear_buffer(buffer, *first, Some(*bytes));
        }
    }
}

impl Gpu {
    fn encoder(&self) -> wgpu::CommandEncoder {
        self.inner.device.create_command_encoder(&Default::default())
    }

    /// Launches in the parts that are submitted by themselves, at least one.
    fn parts<'a>(&self, launches: &'a [&'a Launch]) -> impl Iterator<Item = &'a [&'a Launch]> {
        let costs: Vec<u64> = launches.iter().map(|launch| launch.cost).collect();
        let room = self.inner.pace.lock().unwrap().room();
        cut(&costs, room).into_iter().map(|range| &launches[range])
    }

    /// Submits what is encoded already with the first of the launches, and the others after it; returns the first
    /// submission.
    fn submit_parts(
        &self,
        encoder: wgpu::CommandEncoder,
        launches: Vec<&Launch>,
    ) -> wgpu::SubmissionIndex {
        let (mut encoder, mut first) = (Some(encoder), None);
        for part in self.parts(&launches) {
            let mut encoder = encoder.take().unwrap_or_else(|| self.encoder());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for launch in part {
                launch.encode(self, &mut pass);
            }
            drop(pass);
            let submission = self.submit(encoder, part);
            first.get_or_insert(submission);
        }
        first.expect("at least one part")
    }

    /// Submits launches that are encoded, and measures how long they take.
    fn submit(&self, encoder: wgpu::CommandEncoder, launches: &[&Launch]) -> wgpu::SubmissionIndex {
        let commands = encoder.finish();
        let (queue, pace) = (&self.inner.queue, Arc::clone(&self.inner.pace));
        let cost = launches.iter().map(|launch| launch.cost).sum();
        pace.lock().unwrap().begin(Instant::now());
        let submission = queue.submit([commands]);
        queue.on_submitted_work_done(move || pace.lock().unwrap().end(cost, Instant::now()));
        submission
    }
}

impl Launch {
    fn new(gpu: &Gpu, dispatch: &Dispatch<'_>, (uniforms, offset): (&Buffer, u64)) -> Self {
        let pipeline = gpu.declare(&dispatch.kernel);
        let uniform = (uniforms, offset, size_of_val(dispatch.uniform) as u64);
        let bound = std::iter::once(uniform).chain(dispatch.bindings.iter().copied());
        let entries: Vec<wgpu::BindGroupEntry<'_>> = bound
            .zip(0..)
            .map(|((buffer, offset, bytes), binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer.raw,
                    offset,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            })
            .collect();
        let bind_group = gpu.inner.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.kernel.shader),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let x = dispatch.groups.clamp(1, MAX_GROUPS_PER_DIMENSION);
        let grid = (x, dispatch.groups.div_ceil(x));
        Self { pipeline, bind_group, grid, cost: dispatch.cost }
    }

    fn encode(&self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(gpu.pipeline(&self.pipeline));
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.grid.0, self.grid.1, 1);
    }
}
