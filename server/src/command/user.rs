//! `user`: the people who have accounts.

use serde_json::{Value, json};

use crate::{
    administration::{Act, Answer, User, UserDetails},
    cli::{self, Named, Output},
    control::Administered,
    fault::Fault,
};

pub(super) fn perform(command: cli::User, output: Output) -> Result<(), Fault> {
    let (act, named, done) = match command {
        cli::User::List { data } => return list(&Administered::reach(&data.folder)?, output),
        cli::User::Show { user } => return show(user, output),
        cli::User::Disable { user } => {
            (Act::UserDisable { name: user.name.clone() }, user, "disabled")
        }
        cli::User::Enable { user } => {
            (Act::UserEnable { name: user.name.clone() }, user, "enabled")
        }
        cli::User::Delete { user } => {
            (Act::UserDelete { name: user.name.clone() }, user, "deleted")
        }
    };
    Administered::reach(&named.data.folder)?.does(&act)?;
    let name = named.name.as_str();
    output.print(&format!("{name} is {done}"), json!({ "name": name, "state": done }))
}

fn list(server: &Administered, output: Output) -> Result<(), Fault> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let after = users.last().map(|user| user.name.to_string());
        let answer = server.asks(&Act::UserList { after })?;
        match answer {
            Answer::Users(page) if page.is_empty() => break,
            Answer::Users(page) => users.extend(page),
            answer => return Err(Fault::answer(&answer)),
        }
    }
    let lines: Vec<String> = users.iter().map(line).collect();
    output.print_lines(&lines, json!({ "users": users }))
}

fn show(Named { data, name }: Named, output: Output) -> Result<(), Fault> {
    let answer = Administered::reach(&data.folder)?.asks(&Act::UserShow { name })?;
    let Answer::User(details) = answer else { return Err(Fault::answer(&answer)) };
    let UserDetails { user, identity, accepted, notes, sessions, recovery_code } = &details;
    let lines = [
        line(user),
        format!("identity\t{}", identity.as_deref().unwrap_or("not readable")),
        format!("contacts\t{accepted} accepted, {notes} notes waiting"),
        format!(
            "sessions\t{}",
            if sessions.is_empty() { "none".into() } else { sessions.join(" ") }
        ),
        format!("recovery code\t{}", recovery_code.as_deref().unwrap_or("none")),
    ];
    let object = serde_json::to_value(&details).unwrap_or(Value::Null);
    output.print_lines(&lines, object)
}

fn line(user: &User) -> String {
    let User { name, created, disabled, online } = user;
    let state = match (disabled, online) {
        (true, _) => "disabled",
        (false, true) => "online",
        (false, false) => "offline",
    };
    format!("{name}\t{state}\tsince {created}")
}
