//! Running a recipe, and what is said of it.

use std::path::Path;

use super::format;
use super::open::open;
use super::output::check_folder;
use super::progress::Progress;
use super::stop::{self, stop_on_interrupt};
use crate::config::PatchTarget;
use crate::error::Result;
use crate::program::{DeviceOptions, Opened};
use crate::report::fidelity::Fidelity;
use crate::report::views::View;
use crate::train::event::Outcome;
use crate::train::recipe::Recipe;
use crate::train::run::{Start, train};

/// Runs `recipe` from `start`, shows its progress and says where everything is. After an interruption
/// the program ends.
pub(super) fn execute(recipe: &Recipe, start: Start, options: &DeviceOptions) -> Result<()> {
    recipe.validate()?;
    let folder = match &start {
        Start::New(path, _) | Start::Resume(path, _) => path.clone(),
    };
    if let Start::New(..) = start {
        check_folder(&folder)?;
    }
    let opened = open(options)?;
    let outcome = execute_on(&opened, recipe, start)?;
    report(recipe, &folder, &outcome);
    if !outcome.complete {
        let command = if recipe.classify.is_some() { "finetune" } else { "pretrain" };
        let shown = folder.display();
        say!("stopped early; go on with: webmae {command} --resume {shown}");
        std::process::exit(stop::INTERRUPTED);
    }
    match &recipe.classify {
        // Tokens are no pixels that could be drawn; the encoder is what was learned.
        None if matches!(recipe.model.target, PatchTarget::Tokens { .. }) => say!(
            "try it       webmae embed --weights {} --data {} --out features.npy",
            folder.display(),
            recipe.data.data
        ),
        None => say!("try it       webmae reconstruct --weights {} IMAGE", folder.display()),
        Some(_) => say!("try it       webmae predict --weights {} IMAGE", folder.display()),
    }
    Ok(())
}

/// Runs `recipe` from `start` and shows its progress.
pub(super) fn execute_on(opened: &Opened, recipe: &Recipe, start: Start) -> Result<Outcome> {
    let stop = stop_on_interrupt()?;
    let mut progress = Progress::new(opened);
    let outcome = train(&opened.device, recipe, start, stop, &mut |event| progress.show(&event));
    progress.finish();
    outcome
}

fn report(recipe: &Recipe, folder: &Path, outcome: &Outcome) {
    let Outcome { step, held_out_loss, .. } = *outcome;
    let average = recipe.average_in_words();
    let whose = average.map_or(String::new(), |average| format!(", with {average}"));
    say!("held-out loss {held_out_loss:.4} after {step} steps{whose}");
    if let Some(Fidelity { model, harmonic, mean_color }) = outcome.fidelity {
        let view = match recipe.model.norm_pix_loss {
            true => format!(" ({})", View::honest(true).name()),
            false => String::new(),
        };
        say!(
            "hidden pixels model {model:.2} dB{view}, harmonic filling {harmonic:.2} dB, mean colour \
             {mean_color:.2} dB"
        );
    }
    if let Some(accuracy) = outcome.accuracy {
        let whose = if recipe.classify.is_some() { "" } else { " of the probe" };
        say!("held-out accuracy{whose} {accuracy}");
    }
    say!(
        "{} of training, {:.1} % of it waiting for data{}",
        format::duration(outcome.seconds),
        100.0 * outcome.waiting,
        match outcome.skipped {
            0 => String::new(),
            n => format!("; {n} steps skipped because they were not finite"),
        }
    );
    if let Some(picture) = &outcome.picture {
        say!("picture      {}", picture.display());
    }
    say!("loss curve   {}", folder.join("loss.png").display());
    say!("checkpoint   {}", outcome.checkpoint.display());
}
