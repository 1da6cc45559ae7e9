//! Things that happen to one account at once, in every order: the later one stands, and nothing is lost.

use crate::{
    crypto::label::Label,
    node::Event,
    wire::server::{Reply, Request, Withdrawal},
    world::{World, name},
};

const SEEDS: std::ops::Range<u8> = 0..100;

#[test]
fn what_is_said_while_somebody_logs_in_is_heard() {
    for seed in SEEDS {
        let mut world = World::of(seed, &["alice", "bob"]);
        world.add("bob", "alice").unwrap();
        world.kill("bob");
        world.run();
        world.begin_to_resume("bob");
        world.node("alice").accept(&name("bob")).unwrap();
        world.settle("alice");
        world.run();
        assert_eq!(world.count("bob", &Event::ContactAccepted(name("alice"))), 1, "seed {seed}");
        let notes =
            world.heard("bob").into_iter().filter(|reply| matches!(reply, Reply::Note { .. }));
        assert_eq!(notes.count(), 1, "seed {seed}");
        for (who, whom) in [("alice", "bob"), ("bob", "alice")] {
            assert!(world.node(who).contact(&name(whom)).unwrap().online, "seed {seed}: {who}");
        }
        world.send("alice", "bob", "hello");
        assert_eq!(world.texts("bob"), ["hello"], "seed {seed}");
    }
}

#[test]
fn what_is_taken_back_while_somebody_logs_in_is_gone() {
    for seed in SEEDS {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.kill("bob");
        world.run();
        world.begin_to_resume("bob");
        let now = world.now;
        world.node("alice").withdraw(now, &name("bob"), Withdrawal::Block).unwrap();
        world.settle("alice");
        world.run();
        assert!(!world.node("bob").contact(&name("alice")).unwrap().online, "seed {seed}");
        world.routed.clear();
        world.client_says("bob", &super::introduce(1, "alice"));
        assert_eq!(world.routed, [], "seed {seed}");
    }
}

#[test]
fn a_login_is_not_taken_over_by_the_session_that_it_ends() {
    for seed in SEEDS {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        world.kill("bob");
        world.run();
        let login = world.begin_to_log_in(&name("bob"));
        let resumption = world.begin_to_resume("bob");
        world.run();
        assert_eq!(world.bound_to(&name("bob")), Some(login), "seed {seed}");
        assert!(world.is_closed(resumption) && !world.is_closed(login), "seed {seed}");
        assert!(world.node("alice").contact(&name("bob")).unwrap().online, "seed {seed}");
    }
}

#[test]
fn of_two_logins_the_one_whose_session_is_left_stays() {
    for seed in SEEDS {
        let mut world = World::of(seed, &["alice"]);
        let logins = [0; 2].map(|_| world.begin_to_log_in(&name("alice")));
        world.run();
        let bound = world.bound_to(&name("alice")).unwrap();
        assert!(
            logins.iter().all(|link| world.is_closed(*link) == (*link != bound)),
            "seed {seed}"
        );
        let session = world.bound_session(&name("alice")).unwrap();
        assert!(world.storage.has_session(&session), "seed {seed}");
        assert_eq!(world.storage.sessions(), 1);
    }
}

#[test]
fn whoever_comes_back_while_logging_out_is_gone_for_everybody() {
    for seed in SEEDS {
        let mut world = World::of_friends(seed, &["alice", "bob"]);
        let (link, challenge) = (world.machine("bob").link.unwrap(), [7; 32]);
        world.client_says("bob", &Request::Logout { challenge });
        let (server, _) = world.logout_challenge("bob");
        let key = world.machine("bob").session_key.take().unwrap();
        let proof = *key.logout_proof(Label::LogoutClient, &challenge, &server).expose();
        world.send_on(link, &Request::FinishLogout { proof });
        let resumption = world.begin_to_resume("bob");
        world.run();
        if world.storage.sessions() == 2 {
            // It was back before the proof came, whose connection was closed for that.
            assert_eq!(world.bound_to(&name("bob")), Some(resumption), "seed {seed}");
            continue;
        }
        assert_eq!(world.bound_to(&name("bob")), None, "seed {seed}");
        assert!(world.is_closed(link) && world.is_closed(resumption), "seed {seed}");
        assert!(!world.node("alice").contact(&name("bob")).unwrap().online, "seed {seed}");
    }
}
