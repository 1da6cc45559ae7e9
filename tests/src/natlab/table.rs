//! Which pairs of homes can reach each other directly, by what, and which of them this client connects.

use std::env;

use super::Kind;

/// One row a caller, one column a callee, in the order of [`Kind::ALL`].
///
/// - `D` plain dialling of observed addresses, with the other side opening its own translator
/// - `P` prediction of a sequential mapping's next port
/// - `G` guessing of a symmetric mapping's port
/// - `M` by a port that the router of one of them keeps
/// - `V` over IPv6
/// - `-` no way: the client has to say so
///
/// A capital is a pair that this client connects every time. A small letter is one that it could connect
/// and does not yet: it says instead that there is no path. Whoever teaches it another pair changes
/// the letter here; the test insists on that.
const TABLE: &str = "
           open fw full addr home cgnful cgnhom sym seq cgnsym v6only dual noudp pcp natpmp upnp
    open   D    D  D    D    D    D      D      D   D   D      -      D    -     D   D      D
    fw     D    D  D    D    D    D      D      G   P   G      -      G    -     D   D      D
    full   D    D  D    D    D    D      D      D   D   D      -      D    -     D   D      D
    addr   D    D  D    D    D    D      D      D   D   D      -      D    -     D   D      D
    home   D    D  D    D    D    D      D      G   P   G      -      G    -     D   D      D
    cgnful D    D  D    D    D    D      D      G   P   G      -      G    -     D   D      D
    cgnhom D    D  D    D    D    D      D      G   P   G      -      G    -     D   D      D
    sym    D    G  D    D    G    G      G      -   -   -      -      -    -     M   M      M
    seq    D    P  D    D    P    P      P      -   -   -      -      -    -     M   M      M
    cgnsym D    G  D    D    G    G      G      -   -   -      -      -    -     M   M      M
    v6only -    -  -    -    -    -      -      -   -   -      V      V    -     -   -      -
    dual   D    G  D    D    G    G      G      -   -   -      V      V    -     M   M      M
    noudp  -    -  -    -    -    -      -      -   -   -      -      -    -     -   -      -
    pcp    D    D  D    D    D    D      D      M   M   M      -      M    -     D   D      D
    natpmp D    D  D    D    D    D      D      M   M   M      -      M    -     D   D      D
    upnp   D    D  D    D    D    D      D      M   M   M      -      M    -     D   D      D
";

/// What the table says of a pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// This client connects the pair, every time.
    Connects,
    /// It could, and does not yet.
    CouldConnect,
    /// Nothing could.
    CannotConnect,
}

/// What is expected of a caller and a callee in homes of these kinds.
#[must_use]
pub fn expected(caller: Kind, callee: Kind) -> Expected {
    match cell(caller, callee) {
        "-" => Expected::CannotConnect,
        way if way.chars().all(char::is_uppercase) => Expected::Connects,
        _ => Expected::CouldConnect,
    }
}

/// The pairs that are wanted of all, if `HITHER_PAIRS=home-sym,sym-home` names any.
#[must_use]
#[track_caller]
pub fn named_pairs() -> Option<Vec<(Kind, Kind)>> {
    let kind = |name: &str| {
        let named = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        named.unwrap_or_else(|| panic!("there is no kind of home `{name}`"))
    };
    let pair = |pair: &str| pair.split_once('-').map(|(one, other)| (kind(one), kind(other)));
    Some(env::var("HITHER_PAIRS").ok()?.split(',').filter_map(pair).collect())
}

/// The letter of a pair.
#[must_use]
#[track_caller]
pub fn cell(caller: Kind, callee: Kind) -> &'static str {
    let mut lines = TABLE.lines().filter(|line| !line.trim().is_empty());
    let columns = lines.next().expect("a line of callees").split_whitespace();
    let column = columns.into_iter().position(|name| name == callee.name());
    let mut rows = lines.map(str::split_whitespace);
    let row = rows.find_map(|mut row| (row.next() == Some(caller.name())).then_some(row));
    let cell = column.zip(row).and_then(|(column, mut row)| row.nth(column));
    cell.unwrap_or_else(|| panic!("the table does not have {caller} to {callee}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_does_not_care_who_calls() {
        for one in Kind::ALL {
            for other in Kind::ALL {
                let way = cell(one, other);
                assert!(
                    ["D", "P", "G", "M", "V", "-"].contains(&way.to_uppercase().as_str()),
                    "{way}"
                );
                let back = cell(other, one);
                assert!(
                    way.eq_ignore_ascii_case(back),
                    "{one} to {other} is {way}, but {back} back"
                );
            }
        }
    }
}
