//! `verify`: the safety number, as digits to read out and as a picture to scan.

use serde::Deserialize;
use serde_json::json;

use fast_qr::QRBuilder;
use fast_qr::qr::QRCode;

use super::Context;
use crate::cli::Verify;
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Number {
    name: Untrusted,
    digits: String,
    verified: bool,
}

pub(super) fn run(context: &Context, args: &Verify) -> Result<(), Fault> {
    let mut agent = context.agent()?;
    let answer = match &args.digits {
        Some(digits) => {
            let params = json!({ "name": args.name, "match": in_groups(digits) });
            agent.call("contact.verify", &params)?
        }
        None => agent.call("contact.verify_info", &json!({ "name": args.name }))?,
    };
    let screen = context.screen;
    if screen.json {
        return screen.object(&answer);
    }
    let number: Number = context.typed(answer)?;
    if args.digits.is_some() {
        return screen.done(&text::verified(&number.name));
    }
    screen.done(&text::compare(&number.name))?;
    for line in lines(&number.digits) {
        screen.print(&line)?;
    }
    if screen.shows_pictures()
        && let Ok(code) = QRBuilder::new(without_spaces(&number.digits)).build()
    {
        screen.print(&drawn(&code).trim_end())?;
    }
    if number.verified {
        screen.done(&text::ALREADY_VERIFIED)?;
    } else {
        let name = text::quoted(&number.name.to_string());
        screen.next(&format!("hither verify {name} --match 'DIGITS THEY READ OUT'"));
    }
    Ok(())
}

/// What was typed, in the agent's groups of five. People type the spaces where they like.
fn in_groups(typed: &str) -> String {
    let chars: Vec<char> = without_spaces(typed).chars().collect();
    chars.chunks(5).map(|group| group.iter().collect()).collect::<Vec<String>>().join(" ")
}

/// Lines of four groups.
fn lines(digits: &str) -> Vec<String> {
    let groups: Vec<&str> = digits.split_whitespace().collect();
    groups.chunks(4).map(|line| line.join(" ")).collect()
}

fn without_spaces(digits: &str) -> String {
    digits.split_whitespace().collect()
}

/// The code in half blocks, black on white whatever the terminal's colours are, with the quiet zone
/// that scanners need.
fn drawn(code: &QRCode) -> String {
    const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
    const PLAIN: &str = "\x1b[0m";
    const QUIET: usize = 2;
    let dark = |x: usize, y: usize| {
        let inside =
            (QUIET..QUIET + code.size).contains(&x) && (QUIET..QUIET + code.size).contains(&y);
        inside && code[y - QUIET][x - QUIET].value()
    };
    let side = code.size + 2 * QUIET;
    let mut picture = String::new();
    for y in (0..side).step_by(2) {
        picture.push_str(BLACK_ON_WHITE);
        picture.extend((0..side).map(|x| match (dark(x, y), dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        picture.push_str(PLAIN);
        picture.push('\n');
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_out_in_three_lines_of_four_groups() {
        let digits = ["12345"; 12].join(" ");
        assert_eq!(lines(&digits), ["12345 12345 12345 12345"; 3]);
    }

    #[test]
    fn spaces_are_typed_where_people_like() {
        for typed in ["1234512345", "12345 12345", " 12 345123 45\n", "12345\t12345 "] {
            assert_eq!(in_groups(typed), "12345 12345");
        }
        assert_eq!(in_groups("1234512"), "12345 12");
    }

    #[test]
    fn the_picture_is_the_code_with_a_border() {
        let code = QRBuilder::new("12345".repeat(12)).build().unwrap();
        let picture = drawn(&code);
        let rows: Vec<Vec<char>> = picture
            .lines()
            .map(|line| {
                let bare = line.strip_prefix("\x1b[38;5;16;48;5;231m").unwrap();
                bare.strip_suffix("\x1b[0m").unwrap().chars().collect()
            })
            .collect();
        let side = code.size + 4;
        assert_eq!(rows.len(), side.div_ceil(2));
        for y in 0..side {
            for x in 0..side {
                let char = rows[y / 2][x];
                let dark = char == '█' || char == if y % 2 == 0 { '▀' } else { '▄' };
                let inside = (2..side - 2).contains(&x) && (2..side - 2).contains(&y);
                assert_eq!(dark, inside && code[y - 2][x - 2].value(), "{x},{y}");
            }
        }
    }
}
