-- +goose Up

-- commit_activity makes changes of the activity log, in the order given, in the caller's
-- transaction, and tells what became of each: the seq that it took, 0 where it changed
-- nothing; the verdict of its quota, as the program numbers them; and who holds its
-- idempotency key, where somebody does. A change is a new row, or the completion of one:
-- all arrays but logs and lessees have an element for each.
--
-- logs are the organisations of all changes, and lessees the replicas of new rows, each
-- once and in order. They are locked first: leases, logs that are new, then the other logs.
-- Nothing of a log changes while another has its lock, so that what is found in it holds
-- until the transaction ends.
--
-- With again, a change that was made is told as it was made then: it is for who doesn't
-- know whether a commit was made.
--
-- A batch in which no change depends on another is made by a few statements: one without keys,
-- with each id once, and whose new rows all fit into their quotas, even if none of its
-- completions made room. What is left is decided change by change.
--
-- It runs as its caller, so that row-level security holds in it. Its plans are made once
-- for each connection, maybe while the tables are small, when to read a whole table looks as
-- good as an index: rows are found in subqueries and by arrays, and never joined. A later
-- version that wants other arguments makes a function of another name: the version before
-- goes on calling this one.
--
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION commit_activity(
    again boolean, lessees text[], logs text[],
    completes boolean[], ids text[], org_ids text[], workspace_ids text[], types text[], statuses text[],
    actors text[], summaries text[], creations bigint[], completions bigint[], details text[], outcomes text[],
    replicas text[], classes smallint[], workspace_quotas int[], org_quotas int[],
    key_hashes bytea[], key_bodies bytea[], key_times bigint[], keys_over bigint[], frees boolean[]
) RETURNS TABLE (
    given_seq bigint, verdict int, holder text, holder_body bytea, holder_status text, holder_outcome text
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c           record;
    was         record;
    last_seqs   bigint[];
    log         int;
    leased      int;
    of_org      bigint;
    of_ws       bigint;
    taken       int := 0;
    taken_over  bigint;
    keyed       int;
    named       int;
    fits        boolean;
    seqs        bigint[];
BEGIN
    IF cardinality(lessees) > 0 THEN
        PERFORM FROM leases AS l WHERE l.replica = ANY (lessees) AND l.expires_at > clock_timestamp()
            ORDER BY l.replica FOR KEY SHARE;
        GET DIAGNOSTICS leased = ROW_COUNT;
        IF leased < cardinality(lessees) THEN
            IF (SELECT count(*) FROM leases AS l WHERE l.replica = ANY (lessees)) < cardinality(lessees) THEN
                RAISE EXCEPTION 'a replica has no lease' USING ERRCODE = 'SP001';
            END IF;
            RAISE EXCEPTION 'the lease of a replica is over' USING ERRCODE = 'SP002';
        END IF;
    END IF;

    INSERT INTO activity_counters (org_id, last_seq) SELECT wanted, 0 FROM unnest(logs) AS wanted ON CONFLICT DO NOTHING;
    SELECT array_agg(locked.last_seq ORDER BY locked.org_id) INTO last_seqs FROM (
        SELECT n.org_id, n.last_seq FROM activity_counters AS n WHERE n.org_id = ANY (logs) ORDER BY n.org_id FOR UPDATE
    ) AS locked;

    IF cardinality(ids) > 1 AND NOT again THEN
        SELECT count(new.key_hash), count(DISTINCT new.id) INTO keyed, named FROM unnest(key_hashes, ids) AS new (key_hash, id);
        fits := keyed = 0 AND named = cardinality(ids);
        IF fits THEN
            SELECT coalesce(bool_and(b.of_org <= b.org_quota - (SELECT count(*) FROM activity AS a
                    WHERE a.status = 'running' AND a.org_id = b.org_id AND a.class = b.class)), true) INTO fits
                FROM (
                    SELECT new.org_id, new.class, count(*) AS of_org, min(new.org_quota) AS org_quota
                        FROM unnest(completes, org_ids, classes, org_quotas) AS new (completes, org_id, class, org_quota)
                        WHERE NOT new.completes GROUP BY new.org_id, new.class HAVING count(new.org_quota) > 0
                ) AS b;
        END IF;
        IF fits THEN
            SELECT coalesce(bool_and(b.of_ws <= b.workspace_quota - (SELECT count(*) FROM activity AS a
                    WHERE a.status = 'running' AND a.org_id = b.org_id AND a.class = b.class AND a.workspace_id = b.workspace_id)), true) INTO fits
                FROM (
                    SELECT new.org_id, new.class, new.workspace_id, count(*) AS of_ws, min(new.workspace_quota) AS workspace_quota
                        FROM unnest(completes, org_ids, classes, workspace_ids, workspace_quotas)
                            AS new (completes, org_id, class, workspace_id, workspace_quota)
                        WHERE NOT new.completes GROUP BY new.org_id, new.class, new.workspace_id HAVING count(new.workspace_quota) > 0
                ) AS b;
        END IF;
        IF fits THEN
            SELECT array_agg(numbered.seq ORDER BY numbered.n) INTO seqs FROM (
                SELECT made.n, CASE WHEN made.changes THEN last_seqs[array_position(logs, made.org_id)]
                        + count(*) FILTER (WHERE made.changes) OVER (PARTITION BY made.org_id ORDER BY made.n) ELSE 0 END AS seq
                    FROM (
                        SELECT new.org_id, new.n, NOT new.completes OR coalesce((
                                SELECT a.org_id = new.org_id AND a.status = 'running' AND coalesce(a.replica, '') = coalesce(new.replica, '')
                                    FROM activity AS a WHERE a.id = new.id
                            ), false) AS changes
                            FROM unnest(completes, ids, org_ids, replicas) WITH ORDINALITY AS new (completes, id, org_id, replica, n)
                    ) AS made
            ) AS numbered;
            IF true = ANY (frees) THEN
                DELETE FROM idempotency_keys AS k
                    WHERE k.exec_id = ANY (ARRAY (SELECT new.id FROM unnest(ids, completes, frees) AS new (id, completes, frees) WHERE new.completes AND new.frees))
                        AND k.org_id = org_ids[array_position(ids, k.exec_id)];
            END IF;
            IF true = ANY (completes) THEN
                UPDATE activity AS a SET (status, completed_at, seq, outcome) =
                        (SELECT statuses[at.n], completions[at.n], seqs[at.n], outcomes[at.n] FROM (SELECT array_position(ids, a.id) AS n) AS at)
                    WHERE a.id = ANY (ARRAY (SELECT new.id FROM unnest(ids, completes, seqs) AS new (id, completes, seq) WHERE new.completes AND new.seq > 0));
            END IF;
            IF false = ANY (completes) THEN
                INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
                        written_seq, seq, detail, outcome, replica, class)
                    SELECT new.id, new.org_id, new.workspace_id, new.type, new.status, new.actor, new.summary, new.created_at, new.completed_at,
                            new.seq, new.seq, new.detail, new.outcome, new.replica, new.class
                        FROM unnest(completes, ids, org_ids, workspace_ids, types, statuses, actors, summaries,
                                creations, completions, seqs, details, outcomes, replicas, classes) WITH ORDINALITY
                            AS new (completes, id, org_id, workspace_id, type, status, actor, summary,
                                created_at, completed_at, seq, detail, outcome, replica, class, n)
                        WHERE NOT new.completes ORDER BY new.n;
            END IF;
            UPDATE activity_counters AS n SET last_seq = given.last_seq
                FROM (SELECT new.org_id, max(new.seq) AS last_seq FROM unnest(org_ids, seqs) AS new (org_id, seq) GROUP BY new.org_id) AS given
                WHERE n.org_id = given.org_id AND given.last_seq > 0;
            RETURN QUERY SELECT new.seq, 0, NULL::text, NULL::bytea, NULL::text, NULL::text
                FROM unnest(seqs) WITH ORDINALITY AS new (seq, n) ORDER BY new.n;
            RETURN;
        END IF;
    END IF;

    FOR c IN SELECT * FROM unnest(completes, ids, org_ids, workspace_ids, types, statuses, actors, summaries,
            creations, completions, details, outcomes, replicas, classes, workspace_quotas, org_quotas,
            key_hashes, key_bodies, key_times, keys_over, frees)
        AS new (completes, id, org_id, workspace_id, type, status, actor, summary,
            created_at, completed_at, detail, outcome, replica, class, workspace_quota, org_quota,
            key_hash, key_body, key_at, key_over, frees)
    LOOP
        given_seq := 0;
        verdict := 0;
        holder := NULL;
        holder_body := NULL;
        holder_status := NULL;
        holder_outcome := NULL;
        log := array_position(logs, c.org_id);

        IF c.completes THEN
            IF c.frees THEN
                DELETE FROM idempotency_keys AS k WHERE k.exec_id = c.id AND k.org_id = c.org_id;
            END IF;
            -- The row is named by its id alone: whatever else is asked for invites a plan that
            -- reads a whole log.
            SELECT a.org_id, a.status, a.replica, a.seq, a.completed_at, a.outcome INTO was FROM activity AS a WHERE a.id = c.id;
            IF was.org_id = c.org_id AND was.status = 'running' AND coalesce(was.replica, '') = coalesce(c.replica, '') THEN
                given_seq := last_seqs[log] + 1;
                last_seqs[log] := given_seq;
                UPDATE activity AS a SET status = c.status, completed_at = c.completed_at, seq = given_seq, outcome = c.outcome
                    WHERE a.id = c.id;
            ELSIF again AND was.org_id = c.org_id AND was.status = c.status AND coalesce(was.replica, '') = coalesce(c.replica, '')
                AND was.completed_at IS NOT DISTINCT FROM c.completed_at AND was.outcome IS NOT DISTINCT FROM c.outcome THEN
                given_seq := was.seq;
            END IF;
            RETURN NEXT;
            CONTINUE;
        END IF;

        IF again THEN
            SELECT a.org_id, a.written_seq INTO was FROM activity AS a WHERE a.id = c.id;
            IF was.org_id = c.org_id THEN
                given_seq := was.written_seq;
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        IF c.org_quota IS NOT NULL THEN
            SELECT count(*), count(*) FILTER (WHERE a.workspace_id = c.workspace_id) INTO of_org, of_ws
                FROM activity AS a WHERE a.status = 'running' AND a.org_id = c.org_id AND a.class = c.class;
            verdict := CASE WHEN of_ws >= c.workspace_quota THEN 1 WHEN of_org >= c.org_quota THEN 2 ELSE 0 END;
            IF verdict <> 0 THEN
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        IF c.key_hash IS NOT NULL THEN
            SELECT k.exec_id, k.body, coalesce(a.status, ''), a.outcome INTO holder, holder_body, holder_status, holder_outcome
                FROM idempotency_keys AS k LEFT JOIN activity AS a ON a.id = k.exec_id
                WHERE k.hash = c.key_hash AND k.org_id = c.org_id AND k.created_at > c.key_over;
            IF FOUND THEN
                RETURN NEXT;
                CONTINUE;
            END IF;
            INSERT INTO idempotency_keys (org_id, hash, body, exec_id, created_at)
                VALUES (c.org_id, c.key_hash, c.key_body, c.id, c.key_at)
                ON CONFLICT (hash, org_id) DO UPDATE
                SET body = excluded.body, exec_id = excluded.exec_id, created_at = excluded.created_at;
            taken := taken + 1;
            taken_over := c.key_over;
        END IF;
        given_seq := last_seqs[log] + 1;
        last_seqs[log] := given_seq;
        INSERT INTO activity (id, org_id, workspace_id, type, status, actor, summary, created_at, completed_at,
                written_seq, seq, detail, outcome, replica, class)
            VALUES (c.id, c.org_id, c.workspace_id, c.type, c.status, c.actor, c.summary, c.created_at, c.completed_at,
                given_seq, given_seq, c.detail, c.outcome, c.replica, c.class);
        RETURN NEXT;
    END LOOP;

    UPDATE activity_counters AS n SET last_seq = given.last_seq
        FROM unnest(logs, last_seqs) AS given (org_id, last_seq)
        WHERE n.org_id = given.org_id AND n.last_seq <> given.last_seq;

    -- Two keys that are over go for each that was taken, so that they never pile up. Those
    -- that another transaction is at are left to it. This waits for no lock of others, whose
    -- keys have no order.
    IF taken > 0 THEN
        DELETE FROM idempotency_keys AS k WHERE (k.org_id, k.hash) IN
            (SELECT o.org_id, o.hash FROM idempotency_keys AS o WHERE o.created_at <= taken_over
                ORDER BY o.created_at LIMIT 2 * taken FOR UPDATE SKIP LOCKED);
    END IF;
END
$$;
-- +goose StatementEnd
