-- +goose Up

-- activity_running_acts finds what runs; nothing asks for it by position.
DROP INDEX activity_running;
