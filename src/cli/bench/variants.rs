//! `--kernel`: variants of kernels as they are asked for, instead of those that suit the GPU.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, GpuOptions};
use crate::kernels::{Precision, ProductLayout, ProductShape, Products, Tiling};
use crate::program::Device;
use crate::tune::tile_name;

const OPTION: &str = "--kernel";
const GEMM: &str = "gemm";
const REDUCTION: &str = "reduction";
const COOPERATIVE: &str = "cooperative";
const CHECKS: &str = "checks";

/// What can be chosen, with the names that it has on every GPU: which tiles there are is the GPU's business.
const CHOICES: [(&str, &[&str]); 4] = [
    (GEMM, &[]),
    (REDUCTION, &["barriers", "subgroups"]),
    (COOPERATIVE, &["off"]),
    (CHECKS, &["on"]),
];

/// Variants that are asked for: what, and its name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Variants(Vec<(&'static str, String)>);

/// [`Variants`] that a device has.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// As they are told, e.g. `gemm=64×64/8×8 k8`.
    pub names: Vec<String>,
    /// Place in [`Tiling::ALL`].
    tiling: Option<usize>,
}

impl Variants {
    /// # Errors
    /// [`Error::Argument`] for a text that is none; says which there are.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut found = Self::default();
        for text in texts {
            let refuse = |problem: String| Err(Error::argument(OPTION, problem));
            let Some((what, name)) = text.split_once('=') else {
                return refuse(format!("{text:?} is none; write e.g. gemm=64x64/8x8/k8"));
            };
            let Some((what, names)) = CHOICES.into_iter().find(|(known, _)| *known == what) else {
                let known = CHOICES.map(|(known, _)| known).join(", ");
                return refuse(format!("there is no choice of {what:?}; one of {known}"));
            };
            if !names.is_empty() && !names.contains(&name) {
                return refuse(format!("{what} is never {name:?}; one of {}", names.join(", ")));
            }
            if found.get(what).is_some() {
                return refuse(format!("{what} is given twice"));
            }
            found.0.push((what, name.to_owned()));
        }
        Ok(found)
    }

    fn get(&self, what: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == what).map(|(_, name)| name.as_str())
    }

    /// Changes how a GPU is opened.
    pub fn change(&self, options: &mut GpuOptions) {
        options.without_cooperative_matrices |= self.get(COOPERATIVE).is_some();
        options.reduce_by_barriers |= self.get(REDUCTION) == Some("barriers");
        options.checked |= self.get(CHECKS).is_some();
    }

    /// Finds what a device that was opened so has of it, for programs in these precisions.
    ///
    /// # Errors
    /// [`Error::Argument`] for what it has not; says what it has.
    pub fn resolve(self, device: &Device, precisions: &BTreeSet<Precision>) -> Result<Resolved> {
        if self.0.is_empty() {
            return Ok(Resolved::default());
        }
        let Some(gpu) = device.gpu() else {
            let problem = "there is nothing to choose on the processor; choose a GPU, with --device gpu or \
                           --adapter NAME";
            return Err(Error::argument(OPTION, problem));
        };
        if self.get(REDUCTION) == Some("subgroups") && !gpu.target().subgroups {
            let problem = format!("{} has no subgroups; leave it away", gpu.adapter().name);
            return Err(Error::argument(OPTION, problem));
        }
        let mut resolved = Resolved::default();
        for (what, mut name) in self.0 {
            if what == GEMM {
                let tiles = tiles(gpu, precisions);
                let (full_name, tiling) = find_tile(&tiles, &name)?;
                (name, resolved.tiling) = (full_name.clone(), Some(*tiling));
            }
            resolved.names.push(format!("{what}={name}"));
        }
        Ok(resolved)
    }
}

impl Resolved {
    /// Makes programs that are recorded from now on use them.
    pub fn force(&self, device: &Device) {
        if let Some(tiling) = self.tiling {
            device.set_products(Products::uniform(tiling));
        }
    }
}

/// The tilings that a GPU offers in all of these precisions, by name, with their places in [`Tiling::ALL`].
fn tiles(gpu: &Gpu, precisions: &BTreeSet<Precision>) -> Vec<(String, usize)> {
    let target = gpu.target();
    let shape = |&precision: &Precision| ProductShape::new(precision, ProductLayout::Nt, [64; 3]);
    let is_offered = |tiling: usize| precisions.iter().all(|p| target.offers(tiling, &shape(p)));
    let precision = precisions.first().copied().unwrap_or_default();
    let offered = (0..Tiling::ALL.len()).filter(|&tiling| is_offered(tiling));
    offered.map(|tiling| (tile_name(tiling, precision), tiling)).collect()
}

/// The tile called `wanted`, with `x` for `×` and a slash for a space if one likes, or the only one whose name begins
/// with that.
fn find_tile<'a>(tiles: &'a [(String, usize)], wanted: &str) -> Result<&'a (String, usize)> {
    let plain = |name: &str| name.to_lowercase().replace('×', "x").replace(' ', "/");
    let wanted = plain(wanted.trim());
    let begins = |name: &str| {
        let rest = name.strip_prefix(&wanted);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let named = |is: &dyn Fn(&str) -> bool| -> Vec<&(String, usize)> {
        tiles.iter().filter(|(name, _)| is(&plain(name))).collect()
    };
    let exact = named(&|name| name == wanted);
    let found = if exact.is_empty() { named(&begins) } else { exact };
    if let [tile] = found[..] {
        return Ok(tile);
    }
    let list = |tiles: &mut dyn Iterator<Item = &(String, usize)>| {
        tiles.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let problem = match &found[..] {
        [] => format!("no tiles are called {wanted:?}; one of {}", list(&mut tiles.iter())),
        several => {
            let names = list(&mut several.iter().copied());
            format!("several tiles begin with {wanted:?}; one of {names}")
        }
    };
    Err(Error::argument(OPTION, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Reduction;
    use crate::ops::linear;
    use crate::program::Recorder;

    fn parse(texts: &[&str]) -> Result<Variants> {
        Variants::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn says(result: Result<impl std::fmt::Debug>, words: &[&str]) {
        let message = result.unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        says(parse(&["gemm"]), &["--kernel", "\"gemm\" is none", "gemm=64x64"]);
        says(parse(&["speed=9"]), &["\"speed\"", "gemm, reduction, cooperative, checks"]);
        says(parse(&["reduction=x"]), &["never \"x\"", "barriers, subgroups"]);
        says(parse(&["checks=on", "checks=on"]), &["checks is given twice"]);
    }

    #[test]
    fn variants_change_how_a_gpu_is_opened() {
        let changed = |texts: &[&str]| {
            let mut options = GpuOptions::default();
            parse(texts).unwrap().change(&mut options);
            let GpuOptions { without_cooperative_matrices, reduce_by_barriers, checked, .. } =
                options;
            [without_cooperative_matrices, reduce_by_barriers, checked]
        };
        assert_eq!(changed(&["gemm=1x1", "reduction=subgroups"]), [false; 3]);
        assert_eq!(changed(&["cooperative=off"]), [true, false, false]);
        assert_eq!(changed(&["reduction=barriers", "checks=on"]), [false, true, true]);
    }

    #[test]
    fn what_is_resolved_is_used() {
        let mut options = GpuOptions::default();
        let asked = parse(&["gemm=128x128/8x8/k8", "reduction=barriers"]).unwrap();
        asked.change(&mut options);
        let gpu =
            pollster::block_on(Gpu::new(&options)).expect("the tests need a graphics adapter");
        let device = Device::from(gpu);
        let resolved = asked.resolve(&device, &BTreeSet::from([Precision::F32])).unwrap();
        assert!(resolved.names[0].starts_with("gemm=128×128/8×8 k8"), "{resolved:?}");
        let shape = ProductShape::new(Precision::F32, ProductLayout::Nt, [512; 3]);
        let tiling = || Some(device.target().division(&shape).tiling);
        assert_ne!(tiling(), resolved.tiling);
        resolved.force(&device);
        assert_eq!(tiling(), resolved.tiling);
        // Nothing is measured that would take its place.
        device.gpu().unwrap().on_products(|_, _, _| panic!("measured"));
        let mut rec = Recorder::new(device.target(), false);
        let [x, weight] = ["x", "weight"].map(|label| rec.external(label, [64, 64]));
        linear(&mut rec, x, weight, None);
        assert!(!device.choose_products(&rec).unwrap());
        assert_eq!(device.target().reduction(), Reduction::Barriers);
        let asked = parse(&["reduction=subgroups"]).unwrap();
        says(asked.resolve(&device, &BTreeSet::new()), &["has no subgroups"]);
    }

    #[test]
    fn tiles_are_found_by_name_or_its_beginning() {
        let names = ["64×64/8×8 k8", "64×64/8×8 k16", "64×128/8×8 k8", "64×64/32×32 coop"];
        let tiles: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(0..).collect();
        let found = |wanted| find_tile(&tiles, wanted).map(|(_, place)| *place);
        assert_eq!(found("64×64/8×8 k16").unwrap(), 1);
        assert_eq!(found("64x64/8x8/k16").unwrap(), 1);
        assert_eq!(found("64x128").unwrap(), 2);
        assert_eq!(found("64X64/32x32 COOP").unwrap(), 3);
        assert_eq!(found("64x64/32x32").unwrap(), 3);
        says(found("64x64"), &["several", "64×64/8×8 k8, 64×64/8×8 k16, 64×64/32×32 coop"]);
        says(found("64x64/8"), &["no tiles are called \"64x64/8\"", "64×128/8×8"]);
        says(
            found("big"),
            &["no tiles are called \"big\"", "64×64/8×8 k8, 64×64/8×8 k16, 64×128/8×8 k8"],
        );
    }
}
