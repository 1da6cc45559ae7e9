//! `link`: what people need to register, as text and as a picture.

use fast_qr::{QRBuilder, qr::QRCode};
use hither_proto::name::Link;
use serde_json::json;

use crate::{cli::Output, fault::Fault};

/// Light modules around the code, without which scanners do not find it.
const QUIET: usize = 2;

pub(super) fn print(link: &Link, picture: bool, output: Output) -> Result<(), Fault> {
    let link = link.to_string();
    let mut text = link.clone();
    if picture {
        let code = QRBuilder::new(link.clone()).build();
        let code = code.map_err(|error| Fault::Internal(anyhow::anyhow!("drawing: {error}")))?;
        text = format!("{}{link}", drawn(&code));
    }
    output.print(&text, json!({ "link": link }))
}

/// The code in half blocks, light ones drawn: on the dark ground of most terminals it is right, and
/// scanners read the reverse as well.
fn drawn(code: &QRCode) -> String {
    let side = code.size + 2 * QUIET;
    let light = |x: usize, y: usize| {
        let inside = |at: usize| (QUIET..QUIET + code.size).contains(&at);
        let dark = inside(x) && inside(y) && code[y - QUIET][x - QUIET].value();
        y < side && !dark
    };
    let mut picture = String::new();
    for y in (0..side).step_by(2) {
        picture.extend((0..side).map(|x| match (light(x, y), light(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        picture.push('\n');
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_code_with_a_border() {
        let code = QRBuilder::new("hither://localhost").build().unwrap();
        let picture = drawn(&code);
        let rows: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        let side = code.size + 2 * QUIET;
        assert_eq!(rows.len(), side.div_ceil(2));
        for y in 0..side {
            for x in 0..side {
                let char = rows[y / 2][x];
                let light = char == '█' || char == if y % 2 == 0 { '▀' } else { '▄' };
                let inside = [x, y].iter().all(|at| (QUIET..QUIET + code.size).contains(at));
                assert_eq!(!light, inside && code[y - QUIET][x - QUIET].value(), "{x},{y}");
            }
        }
    }
}
