//! Written-out repetition in a kernel's text.
//!
//! WGSL cannot demand that a loop be unrolled, and drivers keep an array with a variable index in memory,
//! some of them lane by lane. Kernels that live off their registers therefore name every one, and say how
//! many there are in lines of their own:
//!
//! - `#count NAME = 4` declares a number that a launch may choose, with its default;
//! - the lines from `#each i < NAME` (or `#each i < NAME, j < 4`) to `#end` are repeated, with `{i}`
//!   replaced by 0, 1, …;
//! - `{NAME}` is replaced by the number;
//! - the lines from `#if NAME` to `#else` stay where the number is not 0, those from there to `#end` where it is.

/// Declares a number.
const COUNT: &str = "#count ";
/// Begins a repetition.
const EACH: &str = "#each ";
/// Begins a choice.
const IF: &str = "#if ";
/// Begins its other side.
const ELSE: &str = "#else";
/// Ends either.
const END: &str = "#end";

/// The numbers that `text` declares, with their defaults.
///
/// # Panics
/// If a declaration is malformed.
pub fn counts(text: &str) -> Vec<(&str, u32)> {
    let declared = text.lines().filter_map(|line| line.strip_prefix(COUNT));
    let parse = |declaration: &'_ str| -> Option<(usize, u32)> {
        let (name, number) = declaration.split_once(" = ")?;
        Some((name.len(), number.parse().ok()?))
    };
    declared
        .map(|declaration| match parse(declaration) {
            Some((name, number)) => (&declaration[..name], number),
            None => panic!("{COUNT}{declaration}"),
        })
        .collect()
}

/// `text` with its repetitions written out; `chosen` overrides the defaults of what the text declares.
///
/// # Panics
/// If a repetition is malformed, not ended, or over a number that was not declared.
pub fn unroll(text: &str, chosen: &[(&str, u32)]) -> String {
    let mut names = counts(text);
    for (name, number) in &mut names {
        if let Some(&(_, choice)) = chosen.iter().find(|(other, _)| other == name) {
            *number = choice;
        }
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(COUNT)).collect();
    let mut out = String::with_capacity(2 * text.len());
    write_block(&lines, &mut names, &mut out);
    out
}

fn write_block<'a>(lines: &[&'a str], names: &mut Vec<(&'a str, u32)>, out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        if let Some(head) = lines[at].strip_prefix(EACH) {
            let end = at + end_of(&lines[at..]);
            write_each(&head.split(", ").collect::<Vec<_>>(), &lines[at + 1..end], names, out);
            at = end + 1;
        } else if let Some(name) = lines[at].strip_prefix(IF) {
            let end = at + end_of(&lines[at..]);
            let number = value(names, name).unwrap_or_else(|| panic!("{name} is not declared"));
            write_block(side(&lines[at + 1..end], number != 0), names, out);
            at = end + 1;
        } else {
            write_line(lines[at], names, out);
            at += 1;
        }
    }
}

fn begins(line: &str) -> bool {
    line.starts_with(EACH) || line.starts_with(IF)
}

/// Place of the line that ends what the first begins.
fn end_of(lines: &[&str]) -> usize {
    let mut depth = 0;
    let end = lines.iter().position(|line| {
        depth += i32::from(begins(line)) - i32::from(*line == END);
        depth == 0
    });
    end.unwrap_or_else(|| panic!("{} has no {END}", lines[0]))
}

/// One side of a choice, whose other may be missing.
fn side<'b, 'a>(lines: &'b [&'a str], first: bool) -> &'b [&'a str] {
    let mut depth = 0;
    let middle = lines.iter().position(|line| {
        depth += i32::from(begins(line)) - i32::from(*line == END);
        depth == 0 && *line == ELSE
    });
    match (middle, first) {
        (None, true) => lines,
        (None, false) => &[],
        (Some(middle), true) => &lines[..middle],
        (Some(middle), false) => &lines[middle + 1..],
    }
}

fn write_each<'a>(
    heads: &[&'a str],
    body: &[&'a str],
    names: &mut Vec<(&'a str, u32)>,
    out: &mut String,
) {
    let Some((head, rest)) = heads.split_first() else {
        return write_block(body, names, out);
    };
    let Some((index, count)) = head.split_once(" < ") else { panic!("{EACH}{head}") };
    let number = count.parse().ok().or_else(|| value(names, count));
    for i in 0..number.unwrap_or_else(|| panic!("{count} is not declared")) {
        names.push((index, i));
        write_each(rest, body, names, out);
        names.pop();
    }
}

fn write_line(line: &str, names: &[(&str, u32)], out: &mut String) {
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let inside = from.find('}').map(|close| &from[1..close]);
        match inside.and_then(|name| Some((name, value(names, name)?))) {
            Some((name, number)) => {
                out.push_str(&number.to_string());
                rest = &from[name.len() + 2..];
            }
            // A brace of the language.
            None => {
                out.push('{');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out.push('\n');
}

fn value(names: &[(&str, u32)], name: &str) -> Option<u32> {
    names.iter().rev().find(|(other, _)| *other == name).map(|&(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_nest_and_numbers_are_replaced() {
        let text = "#count N = 2\n#count M = 1\n#each i < N, j < M\nlet a{i}_{j} = f({N}u) { {x} }\n\
                    #each k < 2\n+ b{k}\n#end\n;\n#end\nlast";
        let expected = "let a0_0 = f(2u) { {x} }\n+ b0\n+ b1\n;\n\
                        let a1_0 = f(2u) { {x} }\n+ b0\n+ b1\n;\nlast\n";
        assert_eq!(unroll(text, &[]), expected);
        assert_eq!(counts(text), [("N", 2), ("M", 1)]);
    }

    #[test]
    fn a_choice_replaces_the_default_and_others_are_ignored() {
        let text = "#count N = 2\n#each i < N\n{i}\n#end";
        assert_eq!(unroll(text, &[("N", 3), ("OTHER", 9)]), "0\n1\n2\n");
        assert_eq!(unroll(text, &[("N", 0)]), "");
    }

    #[test]
    fn a_choice_has_two_sides() {
        let text = "#count N = 0\n#count M = 2\n#if N\na\n#else\n#each i < M\nb{i}\n#end\n#end\n#if M\nc\n#end";
        assert_eq!(unroll(text, &[]), "b0\nb1\nc\n");
        assert_eq!(unroll(text, &[("N", 1), ("M", 0)]), "a\n");
    }

    #[test]
    #[should_panic(expected = "#each i < N has no #end")]
    fn a_repetition_must_end() {
        unroll("#count N = 2\n#each i < N\n{i}", &[]);
    }
}
