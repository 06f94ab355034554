"""Linear algebra in one thread, for as long as a block lasts."""

from threadpoolctl import threadpool_info, threadpool_limits

from actsearch.search.samplers.function_space.one_thread import ONE_THREAD


def threads():
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_overlapping_blocks_have_one_thread_and_leave_what_was_before():
    with threadpool_limits(3, user_api="blas"):
        before = threads()
        assert max(before) == 3
        ONE_THREAD.__enter__()
        assert set(threads()) == {1}
        ONE_THREAD.__enter__()
        ONE_THREAD.__exit__()
        assert set(threads()) == {1}, "another block is inside"
        ONE_THREAD.__exit__()
        assert threads() == before
