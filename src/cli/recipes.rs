//! A test: command lines give the recipes that they gave before the defaults stood in one place.

use std::fs;
use std::path::Path;

use clap::Parser;
use serde::Deserialize;
use serde_json::Value;

use super::commands::supervised::GivenEncoder;
use super::{Cli, Command};
use crate::config::ModelConfig;

/// A command line and its recipe.
#[derive(Deserialize)]
struct Case {
    /// Preset of the encoder, for commands that begin with one.
    encoder: Option<String>,
    /// What is written after `webmae`; `CLASSES` is a folder of two classes.
    words: String,
    recipe: Value,
}

#[test]
fn every_command_line_gives_the_recipe_that_it_always_gave() {
    let folder = tempfile::tempdir().unwrap();
    draw_classes(folder.path());
    let classes = folder.path().to_str().expect("UTF-8");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recipes.json");
    let text = fs::read_to_string(fixture).unwrap().replace("CLASSES", classes);
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(difference).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a case's recipe, if something is.
fn difference(Case { encoder, words, recipe }: &Case) -> Option<String> {
    let line = std::iter::once("webmae").chain(words.split_whitespace());
    let encoder = || {
        let preset = encoder.as_deref().expect("an encoder");
        GivenEncoder::fresh(ModelConfig::preset(preset).unwrap())
    };
    let begun = match Cli::try_parse_from(line).unwrap().command {
        Command::Pretrain(args) => args.begin(),
        Command::Linprobe(args) => args.begin_on(encoder()),
        Command::Finetune(args) => args.begin_on(encoder()),
        Command::Train(args) => args.begin(),
        _ => panic!("{words} has no recipe"),
    };
    // As text, so that both have been read in the same way.
    let found: Value =
        serde_json::from_str(&serde_json::to_value(begun.unwrap().0).unwrap().to_string()).unwrap();
    (found != *recipe).then(|| format!("{words}\n  now    {found}\n  before {recipe}"))
}

/// Five pictures for training in each of two classes, and a held-out one.
fn draw_classes(folder: &Path) {
    let pictures = ["a", "b"]
        .into_iter()
        .flat_map(|class| (0..5).map(move |i| format!("train/{class}/{i}.png")));
    for name in pictures.chain(["val/a/0.png".to_owned()]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        image::RgbImage::new(2, 2).save(path).unwrap();
    }
}
