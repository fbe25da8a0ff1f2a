/* What our SQL asks that SQLite has no function for.
 *
 * osprey_km(lat1, lon1, lat2, lon2): the great-circle distance on a sphere of the
 * Earth's mean radius, by the haversine formula (Sinnott, "Virtues of the Haversine",
 * Sky and Telescope 1984), which is exact to some 0.5% of what the ellipsoid gives.
 */
#include "storage/catalog_db.h"

#include <math.h>

#define RADIUS_KM 6371.0088 /* IUGG mean radius */
#define DEGREE    0.017453292519943295

double catalog_km(double lat1, double lon1, double lat2, double lon2)
{
    double a = sin((lat2 - lat1) * DEGREE / 2), b = sin((lon2 - lon1) * DEGREE / 2);
    double h = a * a + cos(lat1 * DEGREE) * cos(lat2 * DEGREE) * b * b;
    return 2 * RADIUS_KM * asin(sqrt(h < 1 ? h : 1));
}

static void km(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    (void)n;
    for (int i = 0; i < 4; i++)
        if (sqlite3_value_type(v[i]) == SQLITE_NULL)
            return; /* nowhere: NULL, which no condition takes for true */
    sqlite3_result_double(ctx, catalog_km(sqlite3_value_double(v[0]), sqlite3_value_double(v[1]),
                                          sqlite3_value_double(v[2]), sqlite3_value_double(v[3])));
}

int catalog_functions_add(struct catalog *cat, struct err *err)
{
    int rc = sqlite3_create_function_v2(cat->db, "osprey_km", 4,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                        km, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : catalog_fail(cat, rc, "add a function", err);
}
