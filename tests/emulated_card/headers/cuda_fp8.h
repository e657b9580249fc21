#include "small_numbers.h"
