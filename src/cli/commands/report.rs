//! `webmae report`: everything that can be measured of a machine in some minutes, to attach to a bug report or to send
//! to others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pollster::block_on;

use crate::cli::open::open_device;
use crate::cli::output::check_folder;
use crate::cli::report::text::markdown;
use crate::cli::tiles::ProductCounter;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::measure::measuring::{Event, Measuring, Now, Scope, Station};
use crate::measure::profile::Listed;
use crate::measure::report::Report;
use crate::measure::workload::WORKLOADS;
use crate::program::DeviceOptions;

/// Options of `webmae report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes report.md, to read, and report.json, with every launch: what the GPU is, whether its kernels are right, how it
divides products, the workloads of `webmae bench` in every precision, and where their time goes. Nothing of your data
is in it. What there is no time for is named in it; it is written after every stage, so an interrupted one is worth
something.

Examples:
  webmae report
  webmae report --minutes 3 --adapter nvidia --out report-of-my-gpu
  webmae report --device cpu")]
pub(crate) struct Args {
    /// Minutes that it may take, about
    #[arg(long, value_name = "MINUTES", default_value = "8", value_parser = minutes)]
    minutes: f64,
    /// Folder for report.md and report.json; replaced if they are there
    #[arg(long, value_name = "DIR", default_value = "webmae-report")]
    out: PathBuf,
}

/// Parses a time.
fn minutes(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(time) if time > 0.0 && time <= 1440.0 => Ok(time),
        _ => Err(format!("{text:?} is no number of minutes from 0 to 1440; write e.g. 8")),
    }
}

/// Measures and writes.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    check_folder(&args.out)?;
    let device = open_device(options)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let scope = Scope {
        time: Duration::from_secs_f64(60.0 * args.minutes),
        workloads: &WORKLOADS,
        large_models: true,
        all_divisions: true,
        smaller_batches: false,
        listed: Some(Listed::All),
    };
    let (mut last, mut counter) = (String::new(), ProductCounter::default());
    let mut tell = |event: Event<'_>| {
        match event {
            Event::Now(now) => {
                let line = line(&now);
                if line != last {
                    complain!("{line}");
                    last = line;
                }
                if now.station == Station::Products {
                    counter.show(now.done, now.all);
                }
            }
            Event::LeftOut(what) => complain!("left out: {what}"),
            Event::Found(report) => write(report, &args.out)?,
        }
        Ok(())
    };
    let report = block_on(Measuring::new(&device, scope, &mut tell).run())?;
    say!("{}", markdown(&report));
    let [text, json] = ["report.md", "report.json"].map(|name| args.out.join(name));
    complain!("written: {}, {}", text.display(), json.display());
    Ok(())
}

/// What is being done, in words.
fn line(Now { station, what, .. }: &Now<'_>) -> String {
    match station {
        Station::Verify => format!("verify: {what}"),
        Station::Products => format!("products in {what}"),
        Station::Workloads => (*what).to_owned(),
    }
}

fn write(report: &Report, folder: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report).expect("numbers and names are JSON");
    for (name, text) in [("report.md", markdown(report)), ("report.json", json)] {
        let path = folder.join(name);
        atomic_write(&path, |file| file.write_all(text.as_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_above_nothing() {
        assert_eq!(minutes("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "x", "1e9"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
