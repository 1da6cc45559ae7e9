//! What the programs bring for those who install and supervise them.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::Duration,
};

use hither_tests::lab::{Lab, Outcome};
use rustix::process::Signal;

#[test]
fn a_supervisor_is_told_when_the_server_serves_and_when_it_ends() {
    let lab = Lab::new("supervisor");
    let socket = lab.path("notify");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let data = lab.path("server");
    let args = ["run", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let args = args.map(OsString::from);
    let env = [("NOTIFY_SOCKET", socket.as_os_str())];
    let mut server = lab.transcript().start("hitherd", &args, &env, None);
    assert_eq!(next(&supervisor), "READY=1");
    assert!(!server.has_ended());
    server.signal(Signal::TERM);
    assert_eq!(next(&supervisor), "STOPPING=1");
    server.wait().shows();
}

#[test]
fn both_programs_write_their_manual_without_a_home() {
    let lab = Lab::new("manual");
    for program in ["hither", "hitherd"] {
        let folder = lab.path(program);
        let written =
            homeless(&lab, program, &["man", "--json", "--dir", folder.to_str().unwrap()]);
        let written = written.done();
        let pages = written["pages"].as_array().unwrap();
        assert_eq!(pages.len(), folder.read_dir().unwrap().count());
        for page in pages {
            let name = page.as_str().unwrap();
            assert!(name.starts_with(program) && name.ends_with(".1"), "{name}");
            let text = fs::read_to_string(folder.join(name)).unwrap();
            assert!(text.contains(".SH NAME"), "{name}");
        }
        let page = homeless(&lab, program, &["man"]);
        assert_eq!(page.shows(), fs::read_to_string(folder.join(format!("{program}.1"))).unwrap());
        let again = homeless(&lab, program, &["man", "--dir", folder.to_str().unwrap()]);
        assert!(again.shows().contains(folder.to_str().unwrap()));
        homeless(&lab, program, &["man", "no-such", "--json"]).fails(2, "usage");
    }
}

#[test]
fn bash_completes_commands_and_flags_of_both_programs() {
    let lab = Lab::new("completion");
    for (program, typed, expected) in [
        ("hither", ["his", "--l"], ["history", "--limit"]),
        ("hitherd", ["ini", "--h"], ["init", "--host"]),
    ] {
        let script = lab.path(program);
        fs::write(&script, homeless(&lab, program, &["completions", "bash"]).shows()).unwrap();
        assert!(completed(&script, program, &[typed[0]]).contains(&expected[0].to_owned()));
        let flags = completed(&script, program, &[expected[0], typed[1]]);
        assert!(flags.contains(&expected[1].to_owned()), "{flags:?}");
    }
    for shell in ["elvish", "fish", "powershell", "zsh"] {
        assert!(homeless(&lab, "hither", &["completions", shell]).shows().contains("history"));
    }
}

fn next(supervisor: &UnixDatagram) -> String {
    let mut bytes = [0; 64];
    let length = supervisor.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
}

/// What a program says in an environment that names no folder of anybody.
#[track_caller]
fn homeless(lab: &Lab, program: &str, args: &[&str]) -> Outcome {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let nowhere = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"];
    let env = nowhere.map(|name| (name, OsStr::new("")));
    lab.transcript().start(program, &args, &env, None).wait()
}

/// What bash offers behind `program` and `words`, of which the last is not finished.
fn completed(script: &Path, program: &str, words: &[&str]) -> Vec<String> {
    let last = words[words.len() - 1];
    let before = if words.len() > 1 { words[words.len() - 2] } else { program };
    let ask = format!(
        "source '{}'; COMP_WORDS=({program} {}); COMP_CWORD={}; _{program} {program} {last} {before}; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len(),
    );
    let said = Command::new("bash").args(["-c", &ask]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
}
