-- What made a PostgreSQL ledger of schema 1, as the owner in an empty schema: statements end in a line with two
-- dashes; one with {x} is made for every partition.
CREATE TABLE tallystick.ledger (number integer NOT NULL, ledger_id text COLLATE "C" NOT NULL, PRIMARY KEY (number), UNIQUE (ledger_id))
--
CREATE TABLE tallystick.migration (version integer NOT NULL, PRIMARY KEY (version))
--
CREATE TABLE tallystick.session (key bytea NOT NULL, ledger integer NOT NULL, task_id text COLLATE "C" NOT NULL, header bytea NOT NULL, PRIMARY KEY (key)) PARTITION BY RANGE (key)
--
CREATE TABLE tallystick.record (session bytea NOT NULL, position bigint NOT NULL, record bytea NOT NULL, node bytea NOT NULL, criterion_before bigint NOT NULL, type_before bigint NOT NULL, text_salt bytea, text bytea, details_salt bytea, details bytea, output_salt bytea, output bytea, PRIMARY KEY (session, position), CHECK (("position" > 0))) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.state (session bytea NOT NULL, key text COLLATE "C" NOT NULL, position bigint NOT NULL, at text COLLATE "C", edge bytea, pointers text COLLATE "C", moved boolean, PRIMARY KEY (session, key)) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.artifact (session bytea NOT NULL, position bigint NOT NULL, chunk integer NOT NULL, digest bytea NOT NULL, data bytea NOT NULL, PRIMARY KEY (session, position, chunk)) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.local_idempotency (session bytea NOT NULL, key text COLLATE "C" NOT NULL, first bigint NOT NULL, last bigint NOT NULL, salt bytea, digest bytea, PRIMARY KEY (session, key)) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.local_proof (session bytea NOT NULL, position bigint NOT NULL, digest bytea NOT NULL, PRIMARY KEY (session, position, digest)) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.head_history (session bytea NOT NULL, checkpoint integer NOT NULL, position bigint NOT NULL, root bytea NOT NULL, PRIMARY KEY (session, checkpoint)) PARTITION BY RANGE (session)
--
CREATE TABLE tallystick.checkpoint (number integer NOT NULL, leaf bytea NOT NULL, node bytea NOT NULL, note text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, PRIMARY KEY (number))
--
CREATE TABLE tallystick.local_pending (number integer NOT NULL, leaf bytea NOT NULL, PRIMARY KEY (number))
--
CREATE TABLE tallystick.local_task (key bytea NOT NULL, session bytea NOT NULL, task_id text COLLATE "C" NOT NULL, PRIMARY KEY (key))
--
CREATE TABLE tallystick.local_tile (depth integer NOT NULL, prefix bigint NOT NULL, tile bytea NOT NULL, PRIMARY KEY (depth, prefix))
--
CREATE TABLE tallystick.local_lease (name text COLLATE "C" NOT NULL, holder text COLLATE "C" NOT NULL, until timestamp with time zone NOT NULL, PRIMARY KEY (name))
--
CREATE TABLE tallystick.record_{x} PARTITION OF tallystick.record FOR VALUES FROM ({first}) TO ({last})
--
CREATE TABLE tallystick.session_{x} PARTITION OF tallystick.session FOR VALUES FROM ({first}) TO ({last})
--
CREATE TABLE tallystick.state_{x} PARTITION OF tallystick.state FOR VALUES FROM ({first}) TO ({last}) WITH (fillfactor = 50)
--
CREATE TABLE tallystick.artifact_{x} PARTITION OF tallystick.artifact FOR VALUES FROM ({first}) TO ({last})
--
CREATE TABLE tallystick.local_idempotency_{x} PARTITION OF tallystick.local_idempotency FOR VALUES FROM ({first}) TO ({last})
--
CREATE TABLE tallystick.local_proof_{x} PARTITION OF tallystick.local_proof FOR VALUES FROM ({first}) TO ({last})
--
CREATE TABLE tallystick.head_history_{x} PARTITION OF tallystick.head_history FOR VALUES FROM ({first}) TO ({last})
--
ALTER TABLE tallystick.artifact_{x} ALTER COLUMN data SET STORAGE EXTERNAL
--
CREATE INDEX local_proof_{x}_digest ON tallystick.local_proof_{x} (digest)
--
CREATE INDEX state_{x}_moved ON tallystick.state_{x} (session) WHERE moved
--
CREATE INDEX head_history_{x}_by_checkpoint ON tallystick.head_history_{x} (checkpoint, session)
--
CREATE INDEX session_{x}_made ON tallystick.session_{x} ((substring(header, 1, 62)), key)
--
CREATE OR REPLACE VIEW tallystick.append_{x} AS SELECT session, "position", record, node, criterion_before, type_before, text_salt, text, details_salt, details, output_salt, output FROM tallystick.record_{x} r WHERE ((( SELECT 1 FROM tallystick.record_{x} before WHERE ((before.session = r.session) AND (before."position" = (r."position" - 1)))) IS NOT NULL) AND (current_setting('synchronous_commit'::text) = ANY (ARRAY['on'::text, 'remote_apply'::text])) AND (current_setting('tallystick.schema'::text, true) = '1'::text)) WITH LOCAL CHECK OPTION
--
CREATE OR REPLACE FUNCTION tallystick.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'tallystick: % on % is never done', TG_OP, TG_TABLE_NAME USING ERRCODE = 'TS003';
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.ledger_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF new.number IS DISTINCT FROM (SELECT coalesce(max(number), 0) + 1 FROM tallystick.ledger) THEN
        RAISE EXCEPTION 'tallystick: ledgers are only appended' USING ERRCODE = 'TS003';
    END IF;
    RETURN new;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.migration_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF new.version IS DISTINCT FROM (SELECT coalesce(max(version), 0) + 1 FROM tallystick.migration) THEN
        RAISE EXCEPTION 'tallystick: migrations are only appended' USING ERRCODE = 'TS003';
    END IF;
    RETURN new;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.checkpoint_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF new.number IS DISTINCT FROM (SELECT coalesce(max(number), 0) + 1 FROM tallystick.checkpoint) THEN
        RAISE EXCEPTION 'tallystick: checkpoints are only appended' USING ERRCODE = 'TS003';
    END IF;
    RETURN new;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.session_append() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF new.key IS DISTINCT FROM (
        SELECT substring(sha256(convert_to(ledger_id || ':' || new.task_id, 'UTF8')), 1, 16)
        FROM tallystick.ledger WHERE number = new.ledger
    ) THEN
        RAISE EXCEPTION 'tallystick: a session has the key of its ledger and task' USING ERRCODE = 'TS003';
    END IF;
    RETURN new;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.record_only_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF NOT (new.session IS NOT DISTINCT FROM old.session AND new.position IS NOT DISTINCT FROM old.position AND new.record IS NOT DISTINCT FROM old.record AND new.node IS NOT DISTINCT FROM old.node AND new.criterion_before IS NOT DISTINCT FROM old.criterion_before AND new.type_before IS NOT DISTINCT FROM old.type_before AND (new.text_salt IS NULL OR new.text_salt IS NOT DISTINCT FROM old.text_salt) AND (new.text IS NULL OR new.text IS NOT DISTINCT FROM old.text) AND (new.details_salt IS NULL OR new.details_salt IS NOT DISTINCT FROM old.details_salt) AND (new.details IS NULL OR new.details IS NOT DISTINCT FROM old.details) AND (new.output_salt IS NULL OR new.output_salt IS NOT DISTINCT FROM old.output_salt) AND (new.output IS NULL OR new.output IS NOT DISTINCT FROM old.output)) THEN
        RAISE EXCEPTION 'tallystick: of a record only sealed parts can be cleared' USING ERRCODE = 'TS003';
    END IF;
    RETURN new;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.artifact_only_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF EXISTS (
        SELECT FROM tallystick.record
        WHERE session = old.session AND position = old.position AND output_salt IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'tallystick: an artifact goes only with its erased salt' USING ERRCODE = 'TS003';
    END IF;
    RETURN old;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.head_history_append_{x}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM FROM fresh WHERE fresh.checkpoint IS DISTINCT FROM
        (SELECT coalesce(max(number), 0) + 1 FROM tallystick.checkpoint);
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: heads go to the next checkpoint' USING ERRCODE = 'TS003';
    END IF;
    PERFORM FROM fresh WHERE (SELECT 1 FROM tallystick.head_history_{x} AS other WHERE other.session = fresh.session AND other.checkpoint > fresh.checkpoint LIMIT 1) IS NOT NULL
        OR (SELECT position FROM tallystick.head_history_{x} AS other WHERE other.session = fresh.session AND other.checkpoint < fresh.checkpoint ORDER BY other.checkpoint DESC LIMIT 1) >= fresh.position;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: heads in checkpoints only move forward' USING ERRCODE = 'TS003';
    END IF;
    RETURN NULL;
END$body$
--
CREATE OR REPLACE FUNCTION tallystick.record_append() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    one pg_catalog.bytea;
    digit pg_catalog.int4;
BEGIN
    SELECT fresh.session INTO one FROM fresh LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'on'
        AND pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply' THEN
        RAISE EXCEPTION 'tallystick: synchronous_commit is %', pg_catalog.current_setting('synchronous_commit')
            USING ERRCODE = 'TS002';
    END IF;
    IF pg_catalog.current_setting('tallystick.schema', true) IS NULL
        OR pg_catalog.current_setting('tallystick.schema', true)
            OPERATOR(pg_catalog.<>) '1' THEN
        RAISE EXCEPTION 'tallystick: the schema is 1, the client says %',
            coalesce(pg_catalog.current_setting('tallystick.schema', true), 'nothing')
            USING ERRCODE = 'TS001';
    END IF;
    PERFORM FROM fresh WHERE fresh.session OPERATOR(pg_catalog.<>) one;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a batch holds one task' USING ERRCODE = 'TS003';
    END IF;
    digit := pg_catalog.get_byte(one, 0) OPERATOR(pg_catalog.>>) 4;
    IF digit OPERATOR(pg_catalog.=) 0 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_0 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_0 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 1 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_1 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_1 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 2 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_2 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_2 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 3 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_3 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_3 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 4 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_4 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_4 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 5 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_5 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_5 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 6 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_6 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_6 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 7 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_7 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_7 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 8 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_8 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_8 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 9 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_9 AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_9 AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 10 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_a AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_a AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 11 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_b AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_b AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 12 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_c AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_c AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 13 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_d AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_d AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 14 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_e AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_e AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    ELSIF digit OPERATOR(pg_catalog.=) 15 THEN
        PERFORM FROM fresh WHERE
            CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN (
                SELECT 1 FROM tallystick.record_f AS before
                WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                    AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
            ) ELSE (
                SELECT 1 FROM tallystick.session_f AS known
                WHERE known.key OPERATOR(pg_catalog.=) fresh.session
            ) END IS NULL;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a record goes to its head + 1' USING ERRCODE = 'TS003';
    END IF;
    RETURN NULL;
END$body$
--
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON tallystick.ledger FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.ledger ENABLE ALWAYS TRIGGER ledger_no_truncate
--
CREATE TRIGGER migration_no_truncate BEFORE TRUNCATE ON tallystick.migration FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.migration ENABLE ALWAYS TRIGGER migration_no_truncate
--
CREATE TRIGGER session_no_truncate BEFORE TRUNCATE ON tallystick.session FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.session ENABLE ALWAYS TRIGGER session_no_truncate
--
CREATE TRIGGER record_no_truncate BEFORE TRUNCATE ON tallystick.record FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.record ENABLE ALWAYS TRIGGER record_no_truncate
--
CREATE TRIGGER state_no_truncate BEFORE TRUNCATE ON tallystick.state FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state ENABLE ALWAYS TRIGGER state_no_truncate
--
CREATE TRIGGER artifact_no_truncate BEFORE TRUNCATE ON tallystick.artifact FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.artifact ENABLE ALWAYS TRIGGER artifact_no_truncate
--
CREATE TRIGGER local_idempotency_no_truncate BEFORE TRUNCATE ON tallystick.local_idempotency FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_idempotency ENABLE ALWAYS TRIGGER local_idempotency_no_truncate
--
CREATE TRIGGER local_proof_no_truncate BEFORE TRUNCATE ON tallystick.local_proof FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_proof ENABLE ALWAYS TRIGGER local_proof_no_truncate
--
CREATE TRIGGER head_history_no_truncate BEFORE TRUNCATE ON tallystick.head_history FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.head_history ENABLE ALWAYS TRIGGER head_history_no_truncate
--
CREATE TRIGGER checkpoint_no_truncate BEFORE TRUNCATE ON tallystick.checkpoint FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.checkpoint ENABLE ALWAYS TRIGGER checkpoint_no_truncate
--
CREATE TRIGGER local_pending_no_truncate BEFORE TRUNCATE ON tallystick.local_pending FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_pending ENABLE ALWAYS TRIGGER local_pending_no_truncate
--
CREATE TRIGGER local_task_no_truncate BEFORE TRUNCATE ON tallystick.local_task FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_task ENABLE ALWAYS TRIGGER local_task_no_truncate
--
CREATE TRIGGER local_tile_no_truncate BEFORE TRUNCATE ON tallystick.local_tile FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_tile ENABLE ALWAYS TRIGGER local_tile_no_truncate
--
CREATE TRIGGER local_lease_no_truncate BEFORE TRUNCATE ON tallystick.local_lease FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_lease ENABLE ALWAYS TRIGGER local_lease_no_truncate
--
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON tallystick.ledger FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.ledger ENABLE ALWAYS TRIGGER ledger_no_update
--
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON tallystick.ledger FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.ledger ENABLE ALWAYS TRIGGER ledger_no_delete
--
CREATE TRIGGER ledger_append BEFORE INSERT ON tallystick.ledger FOR EACH ROW EXECUTE FUNCTION tallystick.ledger_append()
--
ALTER TABLE tallystick.ledger ENABLE ALWAYS TRIGGER ledger_append
--
CREATE TRIGGER migration_no_update BEFORE UPDATE ON tallystick.migration FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.migration ENABLE ALWAYS TRIGGER migration_no_update
--
CREATE TRIGGER migration_no_delete BEFORE DELETE ON tallystick.migration FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.migration ENABLE ALWAYS TRIGGER migration_no_delete
--
CREATE TRIGGER migration_append BEFORE INSERT ON tallystick.migration FOR EACH ROW EXECUTE FUNCTION tallystick.migration_append()
--
ALTER TABLE tallystick.migration ENABLE ALWAYS TRIGGER migration_append
--
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON tallystick.checkpoint FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.checkpoint ENABLE ALWAYS TRIGGER checkpoint_no_update
--
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON tallystick.checkpoint FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.checkpoint ENABLE ALWAYS TRIGGER checkpoint_no_delete
--
CREATE TRIGGER checkpoint_append BEFORE INSERT ON tallystick.checkpoint FOR EACH ROW EXECUTE FUNCTION tallystick.checkpoint_append()
--
ALTER TABLE tallystick.checkpoint ENABLE ALWAYS TRIGGER checkpoint_append
--
CREATE TRIGGER session_by_partition BEFORE INSERT ON tallystick.session FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.session ENABLE ALWAYS TRIGGER session_by_partition
--
CREATE TRIGGER state_by_partition BEFORE INSERT ON tallystick.state FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state ENABLE ALWAYS TRIGGER state_by_partition
--
CREATE TRIGGER artifact_by_partition BEFORE INSERT ON tallystick.artifact FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.artifact ENABLE ALWAYS TRIGGER artifact_by_partition
--
CREATE TRIGGER local_idempotency_by_partition BEFORE INSERT ON tallystick.local_idempotency FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_idempotency ENABLE ALWAYS TRIGGER local_idempotency_by_partition
--
CREATE TRIGGER local_proof_by_partition BEFORE INSERT ON tallystick.local_proof FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_proof ENABLE ALWAYS TRIGGER local_proof_by_partition
--
CREATE TRIGGER head_history_by_partition BEFORE INSERT ON tallystick.head_history FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.head_history ENABLE ALWAYS TRIGGER head_history_by_partition
--
CREATE TRIGGER record_append AFTER INSERT ON tallystick.record REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION tallystick.record_append()
--
ALTER TABLE tallystick.record ENABLE ALWAYS TRIGGER record_append
--
CREATE TRIGGER record_no_truncate BEFORE TRUNCATE ON tallystick.record_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.record_{x} ENABLE ALWAYS TRIGGER record_no_truncate
--
CREATE TRIGGER session_no_truncate BEFORE TRUNCATE ON tallystick.session_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.session_{x} ENABLE ALWAYS TRIGGER session_no_truncate
--
CREATE TRIGGER state_no_truncate BEFORE TRUNCATE ON tallystick.state_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state_{x} ENABLE ALWAYS TRIGGER state_no_truncate
--
CREATE TRIGGER artifact_no_truncate BEFORE TRUNCATE ON tallystick.artifact_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.artifact_{x} ENABLE ALWAYS TRIGGER artifact_no_truncate
--
CREATE TRIGGER local_idempotency_no_truncate BEFORE TRUNCATE ON tallystick.local_idempotency_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_idempotency_{x} ENABLE ALWAYS TRIGGER local_idempotency_no_truncate
--
CREATE TRIGGER local_proof_no_truncate BEFORE TRUNCATE ON tallystick.local_proof_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_proof_{x} ENABLE ALWAYS TRIGGER local_proof_no_truncate
--
CREATE TRIGGER head_history_no_truncate BEFORE TRUNCATE ON tallystick.head_history_{x} FOR EACH STATEMENT EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.head_history_{x} ENABLE ALWAYS TRIGGER head_history_no_truncate
--
CREATE TRIGGER session_append BEFORE INSERT ON tallystick.session_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.session_append()
--
ALTER TABLE tallystick.session_{x} ENABLE ALWAYS TRIGGER session_append
--
CREATE TRIGGER session_no_update BEFORE UPDATE ON tallystick.session_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.session_{x} ENABLE ALWAYS TRIGGER session_no_update
--
CREATE TRIGGER session_no_delete BEFORE DELETE ON tallystick.session_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.session_{x} ENABLE ALWAYS TRIGGER session_no_delete
--
CREATE TRIGGER record_only_erased BEFORE UPDATE ON tallystick.record_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.record_only_erased()
--
ALTER TABLE tallystick.record_{x} ENABLE ALWAYS TRIGGER record_only_erased
--
CREATE TRIGGER record_no_delete BEFORE DELETE ON tallystick.record_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.record_{x} ENABLE ALWAYS TRIGGER record_no_delete
--
CREATE TRIGGER state_forward AFTER UPDATE OF session, key, "position", at, edge, pointers ON tallystick.state_{x} FOR EACH ROW WHEN (((new."position" <= old."position") OR (NOT new.moved))) EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state_{x} ENABLE ALWAYS TRIGGER state_forward
--
CREATE TRIGGER state_keeps_its_key AFTER UPDATE OF session, key ON tallystick.state_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state_{x} ENABLE ALWAYS TRIGGER state_keeps_its_key
--
CREATE TRIGGER state_no_delete BEFORE DELETE ON tallystick.state_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.state_{x} ENABLE ALWAYS TRIGGER state_no_delete
--
CREATE TRIGGER head_history_append AFTER INSERT ON tallystick.head_history_{x} REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION tallystick.head_history_append_{x}()
--
ALTER TABLE tallystick.head_history_{x} ENABLE ALWAYS TRIGGER head_history_append
--
CREATE TRIGGER head_history_no_update BEFORE UPDATE ON tallystick.head_history_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.head_history_{x} ENABLE ALWAYS TRIGGER head_history_no_update
--
CREATE TRIGGER head_history_no_delete BEFORE DELETE ON tallystick.head_history_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.head_history_{x} ENABLE ALWAYS TRIGGER head_history_no_delete
--
CREATE TRIGGER local_idempotency_only_erased BEFORE UPDATE ON tallystick.local_idempotency_{x} FOR EACH ROW WHEN (((new.salt IS NOT NULL) OR (new.digest IS NOT NULL) OR (new.session <> old.session) OR (new.key <> old.key) OR (new.first <> old.first) OR (new.last <> old.last))) EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.local_idempotency_{x} ENABLE ALWAYS TRIGGER local_idempotency_only_erased
--
CREATE TRIGGER artifact_no_update BEFORE UPDATE ON tallystick.artifact_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()
--
ALTER TABLE tallystick.artifact_{x} ENABLE ALWAYS TRIGGER artifact_no_update
--
CREATE TRIGGER artifact_only_erased BEFORE DELETE ON tallystick.artifact_{x} FOR EACH ROW EXECUTE FUNCTION tallystick.artifact_only_erased()
--
ALTER TABLE tallystick.artifact_{x} ENABLE ALWAYS TRIGGER artifact_only_erased
--
REVOKE ALL ON SCHEMA tallystick FROM PUBLIC
--
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tallystick FROM PUBLIC
--
GRANT USAGE ON SCHEMA tallystick TO tallystick_reader
--
GRANT SELECT ON ALL TABLES IN SCHEMA tallystick TO tallystick_reader
--
GRANT INSERT, UPDATE, DELETE ON tallystick.local_pending TO tallystick_sequencer
--
GRANT INSERT, UPDATE, DELETE ON tallystick.local_task TO tallystick_sequencer
--
GRANT INSERT, UPDATE, DELETE ON tallystick.local_tile TO tallystick_sequencer
--
GRANT INSERT, UPDATE, DELETE ON tallystick.local_lease TO tallystick_sequencer
--
GRANT INSERT ON tallystick.checkpoint TO tallystick_sequencer
--
GRANT INSERT ON tallystick.ledger, tallystick.record TO tallystick_writer
--
GRANT INSERT ON tallystick.session_{x} TO tallystick_writer
--
GRANT INSERT ON tallystick.state_{x} TO tallystick_writer
--
GRANT INSERT ON tallystick.artifact_{x} TO tallystick_writer
--
GRANT INSERT ON tallystick.local_idempotency_{x} TO tallystick_writer
--
GRANT INSERT ON tallystick.local_proof_{x} TO tallystick_writer
--
GRANT INSERT ON tallystick.append_{x} TO tallystick_writer
--
GRANT UPDATE (position, at, edge, pointers, moved) ON tallystick.state_{x} TO tallystick_writer
--
GRANT UPDATE (text_salt, text, details_salt, details, output_salt, output) ON tallystick.record_{x} TO tallystick_eraser
--
GRANT UPDATE (salt, digest) ON tallystick.local_idempotency_{x} TO tallystick_eraser
--
GRANT DELETE ON tallystick.artifact_{x}, tallystick.local_proof_{x} TO tallystick_eraser
--
GRANT INSERT ON tallystick.head_history_{x} TO tallystick_sequencer
--
GRANT UPDATE (moved) ON tallystick.state_{x} TO tallystick_sequencer
--
