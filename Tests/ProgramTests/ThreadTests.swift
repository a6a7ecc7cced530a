import Foundation
import Testing

/// A system that gives no more threads.
@Suite struct ThreadTests {
    /// The first is the one that answers SIGUSR2, then those that compute, keep the lock, and write.
    @Test(arguments: 0..<4) func aThreadThatIsRefusedIsSaid(_ given: Int) throws {
        let place = try Workplace()
        let prefix = try #require(
            try place.interposed(
                """
                #define _GNU_SOURCE
                #include <dlfcn.h>
                #include <errno.h>
                #include <pthread.h>
                static int threads;
                typedef int Create(
                    pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
                int pthread_create(
                    pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                    void *argument) {
                    if (threads++ >= \(given)) return EAGAIN;
                    Create *create = (Create *)dlsym(RTLD_NEXT, "pthread_create");
                    return create(thread, attributes, body, argument);
                }
                """), "a C compiler")
        let result = try Program.execute(prefix + [Program.path] + place.train("--threads", "2"))
        #expect(result.exitCode == 69, "\(result.output)\(result.errors)")
        #expect(
            result.errors.contains("cannot start a thread on ")
                && result.errors.contains(
                    "Resource temporarily unavailable; choose fewer --threads"),
            "\(result.errors)")
    }
}
